using System.Buffers.Binary;

namespace DistCache.Memory;

/// <summary>
/// Linear hashing (Litwin, 1980): which bucket a key belongs to while buckets are split, or joined again, one at a time.
/// </summary>
/// <remarks>
/// A key belongs to base bucket b (of n) and, where that was split, to piece k: the lowest bits of its 32 split bits. Bucket number =
/// k × n + b. Pieces of level + 1 bits exist for the buckets below <see cref="NextSplit"/>, of level bits for the others. In the
/// order of (b, split bits reversed) every bucket is one interval, whatever was split or joined: that is the order of visits.
/// </remarks>
/// <param name="BaseBuckets">Buckets at the start, and at least.</param>
/// <param name="Level">How often all of them were split.</param>
/// <param name="NextSplit">The bucket that is split next.</param>
internal readonly record struct LinearHash(int BaseBuckets, int Level, int NextSplit)
{
    public int BucketCount => (BaseBuckets << Level) + NextSplit;

    public static uint PositionOf(ulong keyHash) => Reverse(HashBits.SplitBits(keyHash));

    public int BucketOf(ulong keyHash) => BucketOf(HashBits.BaseBucket(keyHash, BaseBuckets), HashBits.SplitBits(keyHash));

    /// <summary>The bucket that holds (<paramref name="baseBucket"/>, <paramref name="position"/>), and where its interval ends.</summary>
    public int BucketAt(int baseBucket, uint position, out ulong end)
    {
        var bits = Reverse(position);
        var width = 1UL << (32 - LevelOf(baseBucket, bits));
        end = (position & ~(width - 1)) + width;
        return BucketOf(baseBucket, bits);
    }

    /// <summary>One bucket more: some of what <paramref name="source"/> holds goes to <paramref name="target"/>.</summary>
    public LinearHash Split(out int source, out int target)
    {
        source = NextSplit;
        target = BucketCount;
        return NextSplit + 1 == BaseBuckets << Level ? new(BaseBuckets, Level + 1, 0) : this with { NextSplit = NextSplit + 1 };
    }

    /// <summary>The opposite of <see cref="Split"/>. Not for the base buckets.</summary>
    public LinearHash Join(out int source, out int target)
    {
        var joined = NextSplit == 0 ? new LinearHash(BaseBuckets, Level - 1, (BaseBuckets << (Level - 1)) - 1) : this with { NextSplit = NextSplit - 1 };
        target = joined.NextSplit;
        source = joined.BucketCount;
        return joined;
    }

    private int BucketOf(int baseBucket, uint bits) => ((int)(bits & ((1u << LevelOf(baseBucket, bits)) - 1)) * BaseBuckets) + baseBucket;

    /// <summary>Without a branch: whether a bucket is split already is for the processor no better than a coin.</summary>
    private int LevelOf(int baseBucket, uint bits) =>
        Level + (int)((uint)(((int)(bits & ((1u << Level) - 1)) * BaseBuckets) + baseBucket - NextSplit) >> 31);

    private static uint Reverse(uint bits)
    {
        bits = (bits >> 1 & 0x55555555) | (bits & 0x55555555) << 1;
        bits = (bits >> 2 & 0x33333333) | (bits & 0x33333333) << 2;
        bits = (bits >> 4 & 0x0F0F0F0F) | (bits & 0x0F0F0F0F) << 4;
        return BinaryPrimitives.ReverseEndianness(bits);
    }
}
