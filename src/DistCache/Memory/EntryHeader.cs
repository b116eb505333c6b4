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

    private const uint ValueLengthMask = (1 << 27) - 1;
    private const uint TombstoneBit = 1u << 28;
    private const uint AbsoluteBit = 1u << 30;
    private const uint WindowBit = 1u << 31;
    private const int KeyLengthMask = (1 << 13) - 1;
    private const int SegmentShift = 13;
    private const int FreeMark = KeyLengthMask;

    public uint Newer;
    public uint Older;
    public ulong Clock;
    public uint Origin;
    public uint UsedAt;
    private uint _valueAndFlags;
    private ushort _keyAndSegment;
    private ushort _slot;

    public EntryHeader(in EntryInfo info, int keyLength, int valueLength, Slot slot)
    {
        Clock = info.Version.Clock;
        Origin = info.Version.Origin;
        _valueAndFlags = (uint)valueLength
            | (info.IsTombstone ? TombstoneBit : 0)
            | (StoredExpiration.HasAbsolute(info.Expiration) ? AbsoluteBit : 0)
            | (info.Expiration.Window > 0 ? WindowBit : 0);
        _keyAndSegment = (ushort)keyLength;
        _slot = slot.Number;
    }

    public readonly EntryVersion Version => new(Clock, Origin);

    public readonly int KeyLength => _keyAndSegment & KeyLengthMask;

    public readonly int ValueLength => (int)(_valueAndFlags & ValueLengthMask);

    public readonly Slot Slot => new(_slot);

    public readonly bool IsTombstone => (_valueAndFlags & TombstoneBit) != 0;

    public readonly bool HasAbsolute => (_valueAndFlags & AbsoluteBit) != 0;

    public readonly bool HasWindow => (_valueAndFlags & WindowBit) != 0;

    public readonly bool Expires => (_valueAndFlags & (AbsoluteBit | WindowBit)) != 0;

    public readonly bool IsFree => (_keyAndSegment & KeyLengthMask) == FreeMark;

    public readonly EntryFlags Flags => IsTombstone ? EntryFlags.Tombstone : EntryFlags.None;

    /// <summary>Header and expiration.</summary>
    public readonly int KeyOffset => Bytes + (HasAbsolute ? StoredExpiration.AbsoluteBytes : 0) + (HasWindow ? StoredExpiration.WindowBytes : 0);

    public readonly int ValueOffset => KeyOffset + KeyLength;

    public readonly int TotalBytes => ValueOffset + ValueLength;

    public readonly ReadOnlySpan<byte> KeyIn(ReadOnlySpan<byte> chunk) => chunk.Slice(KeyOffset, KeyLength);

    public readonly ReadOnlySpan<byte> ValueIn(ReadOnlySpan<byte> chunk) => chunk.Slice(ValueOffset, ValueLength);

    /// <summary>What the entry says of itself besides key and value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly EntryInfo InfoIn(ReadOnlySpan<byte> chunk)
    {
        var lastAccess = 0L;
        var expiration = Expires ? StoredExpiration.Read(chunk, this, out lastAccess) : Expiration.None;
        return new EntryInfo(Version, expiration, lastAccess, Flags);
    }

    public Segment Segment
    {
        readonly get => (Segment)(_keyAndSegment >> SegmentShift & 3);
        set => _keyAndSegment = (ushort)((_keyAndSegment & KeyLengthMask) | ((int)value << SegmentShift));
    }

    public void MarkFree() => _keyAndSegment = FreeMark;
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
