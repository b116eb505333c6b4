using System.Buffers;
using System.Runtime.InteropServices;

namespace DistCache.Wire;

/// <summary>
/// Tells whether bytes that were given to the HTTP/2 client have left it. It copies them when the peer has room for them, which may be long after it took
/// them, and writes what it has copied when it is asked to flush; a flush that it was asked for before it copied does nothing for them. So they are on
/// their way when the connection was written to after they were copied, and that both is seen here: the client's one loop does the one and the other.
/// </summary>
internal sealed class SentWatch : MemoryManager<byte>
{
    private ReadOnlyMemory<byte> _bytes;
    private long _writes;
    private long _writesBeforeCopy;

    /// <summary>Of bytes that were copied: the connection has been written to since.</summary>
    public bool IsSent => Volatile.Read(ref _writes) != Volatile.Read(ref _writesBeforeCopy);

    /// <summary>The same bytes, to be given to the client. One piece at a time.</summary>
    public ReadOnlyMemory<byte> Over(ReadOnlyMemory<byte> bytes)
    {
        _bytes = bytes;
        return CreateMemory(bytes.Length);
    }

    /// <summary>The connection below is about to be written to.</summary>
    public void NoteWrite() => Interlocked.Increment(ref _writes);

    /// <summary>Asked for by who copies.</summary>
    public override Span<byte> GetSpan()
    {
        Volatile.Write(ref _writesBeforeCopy, Volatile.Read(ref _writes));
        return MemoryMarshal.AsMemory(_bytes).Span;
    }

    public override MemoryHandle Pin(int elementIndex = 0) => throw new NotSupportedException("Nobody sends these bytes from where they are.");

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
    }
}
