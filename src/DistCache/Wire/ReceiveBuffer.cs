using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// Bytes that came from a peer, shared by the reader that fills them and the handlers whose requests refer to them. Goes back to the
/// pool when the last of them lets go.
/// </summary>
internal sealed class ReceiveBuffer(byte[] rented) : IDisposable
{
    private int _references = 1;
    private PinnedBytes? _pinned;

    public byte[] Bytes { get; } = rented;

    /// <summary>Nobody but the reader refers to it. Stays so until the reader shares it again: only the reader adds references.</summary>
    public bool IsUnshared => Volatile.Read(ref _references) == 1;

    public void Retain() => Interlocked.Increment(ref _references);

    /// <summary>Retains it for whoever disposes what is given.</summary>
    public ReceiveBuffer Lend()
    {
        Retain();
        return this;
    }

    /// <summary>The reader leaves it while handlers still refer to it: counts until the last of them lets go.</summary>
    public void Pin(PinnedBytes pinned)
    {
        _pinned = pinned;
        pinned.Add(Bytes.Length);
    }

    /// <summary>Lets go.</summary>
    public void Dispose() => Release();

    public void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0)
        {
            _pinned?.Add(-Bytes.Length);
            ValueBytes.Return(Bytes);
        }
    }
}

/// <summary>How much memory the handlers of a lane keep from being used again.</summary>
internal sealed class PinnedBytes
{
    private long _count;

    public long Count => Volatile.Read(ref _count);

    public void Add(long bytes) => Interlocked.Add(ref _count, bytes);
}
