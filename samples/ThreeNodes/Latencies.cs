using System.Diagnostics;
using System.Numerics;

namespace ThreeNodes;

/// <summary>
/// How long operations took, in buckets that are 1/16 of a power of two wide, so a percentile is off by 6 % at most. Any thread records;
/// one takes what has come together since it last did.
/// </summary>
internal sealed class Latencies
{
    private const int SubBuckets = 16;
    private const int SubBucketBits = 4;

    private readonly long[] _counts = new long[64 * SubBuckets];
    private long _longest;

    public void Record(long startTimestamp)
    {
        var ticks = Stopwatch.GetElapsedTime(startTimestamp).Ticks;
        Interlocked.Increment(ref _counts[BucketOf(ticks)]);
        long longest;
        while (ticks > (longest = Volatile.Read(ref _longest)) && Interlocked.CompareExchange(ref _longest, ticks, longest) != longest)
        {
        }
    }

    public (TimeSpan Median, TimeSpan Percentile99, TimeSpan Longest) Take()
    {
        var counts = new long[_counts.Length];
        for (var i = 0; i < counts.Length; i++)
        {
            counts[i] = Interlocked.Exchange(ref _counts[i], 0);
        }

        var longest = Interlocked.Exchange(ref _longest, 0);
        return (Percentile(counts, 0.50), Percentile(counts, 0.99), TimeSpan.FromTicks(longest));
    }

    private static TimeSpan Percentile(long[] counts, double part)
    {
        var rest = (long)Math.Ceiling(counts.Sum() * part);
        var bucket = 0;
        while (rest > 0 && (rest -= counts[bucket]) > 0)
        {
            bucket++;
        }

        return TimeSpan.FromTicks(UpperEndOf(bucket));
    }

    private static int BucketOf(long ticks)
    {
        if (ticks < SubBuckets)
        {
            return (int)Math.Max(0, ticks);
        }

        var power = BitOperations.Log2((ulong)ticks);
        return ((power - SubBucketBits + 1) * SubBuckets) + (int)((ticks >> (power - SubBucketBits)) & (SubBuckets - 1));
    }

    private static long UpperEndOf(int bucket)
    {
        var power = bucket / SubBuckets;
        return power == 0 ? bucket : (long)(SubBuckets + (bucket % SubBuckets) + 1) << (power - 1);
    }
}
