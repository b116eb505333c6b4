using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistCache.Memory;

/// <summary>
/// One cache line of the index: ten entries, filled from 0 on without holes.
/// <code>
///  0 40  handles
/// 40 10  of each the low byte of its hash: tells nearly all strangers apart without touching them
/// 50 10  of each the high byte of its slot: a visit of some slots touches the entries of those only
/// 60  4  the bucket that goes on, + 1; 0 for none
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct Bucket
{
    public const int Bytes = 64;
    public const int Capacity = 10;

    public TenHandles Handles;
    public TenBytes HashTags;
    public TenBytes SlotTags;
    public int Overflow;

    /// <summary>Bit i is set where entry i may have that tag; bits of empty places may be set too.</summary>
    public readonly uint Match(byte hashTag)
    {
        // Sixteen bytes from the tags on: the six that follow are slot tags, and are masked away.
        var tags = Vector128.LoadUnsafe(ref Unsafe.As<TenBytes, byte>(ref Unsafe.AsRef(in HashTags)));
        return Vector128.Equals(tags, Vector128.Create(hashTag)).ExtractMostSignificantBits() & ((1u << Capacity) - 1);
    }

    public readonly int Count
    {
        get
        {
            var count = 0;
            while (count < Capacity && Handles[count] != 0)
            {
                count++;
            }

            return count;
        }
    }

    /// <summary>They are filled from 0 on.</summary>
    public readonly bool IsFull => Handles[Capacity - 1] != 0;

    public void Put(int place, uint handle, byte hashTag, byte slotTag)
    {
        Handles[place] = handle;
        HashTags[place] = hashTag;
        SlotTags[place] = slotTag;
    }

    public static int Next(ref uint matches)
    {
        var place = BitOperations.TrailingZeroCount(matches);
        matches &= matches - 1;
        return place;
    }

    [InlineArray(Capacity)]
    public struct TenHandles
    {
        private uint _first;
    }

    [InlineArray(Capacity)]
    public struct TenBytes
    {
        private byte _first;
    }
}
