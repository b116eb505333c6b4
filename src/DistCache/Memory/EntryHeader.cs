using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// The first 32 bytes of an entry. Little or big end first as the machine has it: it never leaves the process.
/// <code>
///  0  4  Newer    neighbour in the recency list, by handle
///  4  4  Older    the other one
///  8  8  Clock    version
/// 16  4  Origin   version
/// 20  4  UsedAt   the shard's clock of uses at the last one (see Shard.Tick)
/// 24  4  bits 0–26 length of the value, 28 tombstone, 30 has an absolute end, 31 has a sliding window
/// 28  2  bits 0–12 length of the key (all ones: the chunk is free), 13–14 segment of the recency list
/// 30  2  slot
/// 32  6  absolute end, ms since 1970           only with bit 30
///     6  window, ms; 6  last use, ms since 1970   only with bit 31
///        key, value
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct EntryHeader
{
    public const int Bytes = 32;

    public uint Newer;
    public uint Older;
    public ulong Clock;
    public uint Origin;
    public uint UsedAt;
    public EntryShape Shape;

    public EntryHeader(in EntryInfo info, int keyLength, int valueLength, Slot slot)
    {
        Clock = info.Version.Clock;
        Origin = info.Version.Origin;
        Shape = new EntryShape(info, keyLength, valueLength, slot);
    }

    public readonly EntryVersion Version => new(Clock, Origin);

    public readonly int KeyLength => Shape.KeyLength;

    public readonly int ValueLength => Shape.ValueLength;

    public readonly Slot Slot => Shape.Slot;

    public readonly bool IsTombstone => Shape.IsTombstone;

    public readonly bool HasAbsolute => Shape.HasAbsolute;

    public readonly bool HasWindow => Shape.HasWindow;

    public readonly bool Expires => Shape.Expires;

    public readonly bool IsFree => Shape.IsFree;

    public readonly int KeyOffset => Shape.KeyOffset;

    public readonly int ValueOffset => Shape.ValueOffset;

    public readonly int TotalBytes => Shape.TotalBytes;

    public readonly ReadOnlySpan<byte> KeyIn(ReadOnlySpan<byte> chunk) => Shape.KeyIn(chunk);

    public readonly ReadOnlySpan<byte> ValueIn(ReadOnlySpan<byte> chunk) => Shape.ValueIn(chunk);

    public Segment Segment
    {
        readonly get => Shape.Segment;
        set => Shape = Shape.In(value);
    }

    public void MarkFree() => Shape = EntryShape.Free;
}

/// <summary>The last 8 bytes of a header: what kind of entry it is, and where its parts stand.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct EntryShape
{
    private const uint ValueLengthMask = (1 << 27) - 1;
    private const uint TombstoneBit = 1u << 28;
    private const uint AbsoluteBit = 1u << 30;
    private const uint WindowBit = 1u << 31;
    private const int KeyLengthMask = (1 << 13) - 1;
    private const int SegmentShift = 13;
    private const int FreeMark = KeyLengthMask;

    private readonly uint _valueAndFlags;
    private readonly ushort _keyAndSegment;
    private readonly ushort _slot;

    public EntryShape(in EntryInfo info, int keyLength, int valueLength, Slot slot)
    {
        _valueAndFlags = (uint)valueLength
            | (info.IsTombstone ? TombstoneBit : 0)
            | (StoredExpiration.HasAbsolute(info.Expiration) ? AbsoluteBit : 0)
            | (info.Expiration.Window > 0 ? WindowBit : 0);
        _keyAndSegment = (ushort)keyLength;
        _slot = slot.Number;
    }

    private EntryShape(uint valueAndFlags, int keyAndSegment, ushort slot) =>
        (_valueAndFlags, _keyAndSegment, _slot) = (valueAndFlags, (ushort)keyAndSegment, slot);

    /// <summary>Of a chunk that holds no entry.</summary>
    public static EntryShape Free => new(0, FreeMark, 0);

    public int KeyLength => _keyAndSegment & KeyLengthMask;

    public int ValueLength => (int)(_valueAndFlags & ValueLengthMask);

    public Slot Slot => new(_slot);

    public Segment Segment => (Segment)(_keyAndSegment >> SegmentShift & 3);

    public bool IsTombstone => (_valueAndFlags & TombstoneBit) != 0;

    public bool HasAbsolute => (_valueAndFlags & AbsoluteBit) != 0;

    public bool HasWindow => (_valueAndFlags & WindowBit) != 0;

    public bool Expires => (_valueAndFlags & (AbsoluteBit | WindowBit)) != 0;

    public bool IsFree => (_keyAndSegment & KeyLengthMask) == FreeMark;

    /// <summary>Header and expiration.</summary>
    public int KeyOffset => EntryHeader.Bytes
        + (Expires ? (HasAbsolute ? StoredExpiration.AbsoluteBytes : 0) + (HasWindow ? StoredExpiration.WindowBytes : 0) : 0);

    public int ValueOffset => KeyOffset + KeyLength;

    public int TotalBytes => ValueOffset + ValueLength;

    public EntryShape In(Segment segment) => new(_valueAndFlags, KeyLength | ((int)segment << SegmentShift), _slot);

    public ReadOnlySpan<byte> KeyIn(ReadOnlySpan<byte> chunk) => chunk.Slice(KeyOffset, KeyLength);

    public ReadOnlySpan<byte> ValueIn(ReadOnlySpan<byte> chunk) => chunk.Slice(ValueOffset, ValueLength);

    /// <summary>What the entry says of itself besides key and value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public EntryInfo InfoIn(ReadOnlySpan<byte> chunk)
    {
        ref readonly var header = ref MemoryMarshal.AsRef<EntryHeader>(chunk);
        var lastAccess = 0L;
        var expiration = Expires ? StoredExpiration.Read(chunk, this, out lastAccess) : Expiration.None;
        return new EntryInfo(header.Version, expiration, lastAccess, IsTombstone ? EntryFlags.Tombstone : EntryFlags.None);
    }
}

/// <summary>The list of its size class that an entry stands in.</summary>
internal enum Segment : byte
{
    /// <summary>The only list of values under LRU; the newcomers' under W-TinyLFU.</summary>
    Window,

    /// <summary>Admitted, not used since.</summary>
    Probation,

    /// <summary>Used since it was admitted.</summary>
    Protected,

    Tombstones,
}
