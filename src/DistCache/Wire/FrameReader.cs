using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// Cuts a stream into gRPC messages. Each lies in one piece in <see cref="Buffer"/>, valid until the next <see cref="FillAsync"/>, or for
/// as long as the buffer is retained. Used by one loop at a time.
/// </summary>
internal sealed class FrameReader(Stream stream, int maximumMessageBytes) : IDisposable
{
    private const int BufferBytes = 64 << 10;

    /// <summary>With less room than this at its end a buffer is left for another one: small reads cost more than a copy.</summary>
    private const int SmallestRead = 8 << 10;

    private readonly PinnedBytes _pinned = new();
    private int _start;
    private int _end;

    public ReceiveBuffer Buffer { get; private set; } = new(ValueBytes.Rent(BufferBytes));

    /// <summary>The memory of buffers that are left but still referred to.</summary>
    public long PinnedBytes => _pinned.Count;

    /// <summary>Raised when the handshake is complete.</summary>
    public int MaximumMessageBytes { get; set; } = maximumMessageBytes;

    /// <summary>The stream ended in the middle of a message.</summary>
    public bool IsInsideMessage => _end > _start;

    /// <summary>Waits for more bytes; false at the end of the stream.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> FillAsync(CancellationToken cancellationToken) =>
        EndFill(await BeginFill(cancellationToken).ConfigureAwait(false));

    /// <summary>The same in two steps, for a reader that is no async method.</summary>
    public ValueTask<int> BeginFill(CancellationToken cancellationToken)
    {
        MakeRoom();
        return stream.ReadAsync(Buffer.Bytes.AsMemory(_end), cancellationToken);
    }

    public bool EndFill(int read)
    {
        _end += read;
        return read > 0;
    }

    /// <summary>The next message if it has come whole.</summary>
    public bool TryRead(out ReadOnlyMemory<byte> message)
    {
        message = default;
        if (_end - _start < MessageBuffer.PrefixBytes)
        {
            return false;
        }

        var length = ReadLength();
        if (_end - _start - MessageBuffer.PrefixBytes < length)
        {
            return false;
        }

        message = Buffer.Bytes.AsMemory(_start + MessageBuffer.PrefixBytes, length);
        _start += MessageBuffer.PrefixBytes + length;
        return true;
    }

    /// <summary>Waits for the next message; null at the end of the stream.</summary>
    public async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(CancellationToken cancellationToken)
    {
        ReadOnlyMemory<byte> message;
        while (!TryRead(out message))
        {
            if (!await FillAsync(cancellationToken).ConfigureAwait(false))
            {
                return IsInsideMessage ? throw RefusalException.Malformed("The stream ends in the middle of a message.") : null;
            }
        }

        return message;
    }

    /// <summary>The reader has done with the buffer; what others still hold of it counts as pinned.</summary>
    public void Leave(ReceiveBuffer buffer)
    {
        if (!buffer.IsUnshared)
        {
            buffer.Pin(_pinned);
        }

        buffer.Release();
    }

    public void Dispose() => Buffer.Release();

    private int ReadLength()
    {
        var prefix = Buffer.Bytes.AsSpan(_start, MessageBuffer.PrefixBytes);
        if (prefix[0] != 0)
        {
            throw RefusalException.Malformed($"The compression flag {prefix[0]}, where 0 is expected.");
        }

        var length = BinaryPrimitives.ReadUInt32BigEndian(prefix[1..]);
        return length <= (uint)MaximumMessageBytes
            ? (int)length
            : throw RefusalException.OverLimit($"A message of {length} bytes, where at most {MaximumMessageBytes} are allowed.");
    }

    private void MakeRoom()
    {
        var kept = _end - _start;
        var needed = kept < MessageBuffer.PrefixBytes ? MessageBuffer.PrefixBytes : MessageBuffer.PrefixBytes + ReadLength();
        if (kept == 0 && Buffer.IsUnshared)
        {
            _start = _end = 0;
        }

        if (Buffer.Bytes.Length - _start >= needed && Buffer.Bytes.Length - _end >= SmallestRead)
        {
            return;
        }

        var old = Buffer;
        var isReused = old.IsUnshared && old.Bytes.Length >= Math.Max(needed, BufferBytes);
        Buffer = isReused ? old : new ReceiveBuffer(ValueBytes.Rent(Math.Max(needed, BufferBytes)));
        old.Bytes.AsSpan(_start, kept).CopyTo(Buffer.Bytes);
        (_start, _end) = (0, kept);
        if (isReused)
        {
            return;
        }

        Leave(old);
    }
}
