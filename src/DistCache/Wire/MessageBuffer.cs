using System.Buffers.Binary;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// Bytes of messages being gathered for one write. Not thread-safe. A gRPC message stands in it as
/// <code>
/// byte 0     0: not compressed
/// bytes 1-4  length of the body, big endian
/// bytes 5-   the body
/// </code>
/// </summary>
/// <param name="capacity">What it will hold, where that is known.</param>
/// <param name="leftOut">Bytes that are not copied when they are appended, since they are sent from where they are.</param>
internal sealed class MessageBuffer(int capacity = 0, ReadOnlyMemory<byte> leftOut = default)
{
    public const int PrefixBytes = 5;

    private const int SmallestCapacity = 4 << 10;

    /// <summary>A larger array is given back after the write: a burst does not stay for the life of a lane.</summary>
    private const int LargestKeptCapacity = 1 << 20;

    private byte[] _bytes = ValueBytes.Rent(capacity);

    public int Length { get; private set; }

    /// <summary>Where the bytes that are left out belong; null if they were not appended.</summary>
    public int? LeftOutAt { get; private set; }

    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, Length);

    public ReadOnlySpan<byte> WrittenSpan => _bytes.AsSpan(0, Length);

    /// <summary>Room for at least <paramref name="size"/> bytes; what of it was filled is told to <see cref="Advance"/>.</summary>
    public Span<byte> GetSpan(int size)
    {
        if (_bytes.Length - Length < size)
        {
            Grow(size);
        }

        return _bytes.AsSpan(Length);
    }

    /// <summary>The same.</summary>
    public Memory<byte> GetMemory(int size)
    {
        GetSpan(size);
        return _bytes.AsMemory(Length);
    }

    public void Advance(int size) => Length += size;

    public void Append(ReadOnlySpan<byte> bytes)
    {
        if (!leftOut.IsEmpty && bytes == leftOut.Span)
        {
            LeftOutAt = Length;
            return;
        }

        bytes.CopyTo(GetSpan(bytes.Length));
        Length += bytes.Length;
    }

    /// <summary>Leaves room for the prefix; gives what <see cref="EndMessage"/> wants.</summary>
    public int BeginMessage()
    {
        var start = Length;
        GetSpan(PrefixBytes);
        Length += PrefixBytes;
        return start;
    }

    /// <summary>Fills the prefix in, for a body of which the last <paramref name="bytesElsewhere"/> do not stand here.</summary>
    public void EndMessage(int start, int bytesElsewhere = 0)
    {
        _bytes[start] = 0;
        BinaryPrimitives.WriteInt32BigEndian(_bytes.AsSpan(start + 1), Length - start - PrefixBytes + bytesElsewhere);
    }

    /// <summary>Takes back what was written from <paramref name="length"/> on.</summary>
    public void Truncate(int length) => Length = length;

    public void Clear()
    {
        Length = 0;
        if (_bytes.Length > LargestKeptCapacity)
        {
            Release();
        }
    }

    /// <summary>Gives the memory back; the buffer is empty.</summary>
    public void Release()
    {
        Length = 0;
        ValueBytes.Return(_bytes);
        _bytes = [];
    }

    private void Grow(int size)
    {
        var needed = checked(Length + size);
        var capacity = (int)Math.Clamp(_bytes.Length * 2L, Math.Max(needed, SmallestCapacity), Array.MaxLength);
        var smaller = _bytes;
        _bytes = ValueBytes.Rent(capacity);
        smaller.AsSpan(0, Length).CopyTo(_bytes);
        ValueBytes.Return(smaller);
    }
}
