using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// Which versions are so old that no write of them is under way any more. By the hybrid clock, as the versions are: a wall clock that is behind the cluster's
/// would call all of them young. Where the hybrid clock is ahead, because some wall clock was, it stands still until ours is there, and with it what is a few
/// seconds below it: then what it said a while ago is old enough.
/// </summary>
internal sealed class VersionAge(HybridClock clock, TimeProvider time, ReplicationOptions options)
{
    private readonly TimeSpan _minimum = LongestWrite(options) > AntiEntropy.MinimumAge ? LongestWrite(options) : AntiEntropy.MinimumAge;
    private volatile Reading? _last;

    /// <summary>Nothing up to this clock is on its way.</summary>
    public ulong Limit => UpTo(_minimum);

    /// <summary>What is so old, and no older than <see cref="Limit"/> must be.</summary>
    public ulong UpTo(TimeSpan age)
    {
        var current = clock.Current;
        var byClock = current - Math.Min(current, (ulong)age.TotalMilliseconds << HybridClock.CounterBits);
        return _last is { } last ? Math.Max(byClock, IsOld(last) ? last.Clock : last.Before) : byClock;
    }

    /// <summary>Takes a reading for later, now and then; by one caller.</summary>
    public void Note()
    {
        if (_last is not { } last || IsOld(last))
        {
            // A stamp of its own: no later one is below it, also where the wall clock is set back.
            _last = new Reading(time.GetTimestamp(), clock.Next(), _last?.Clock ?? 0);
        }
    }

    /// <summary>The writer's time, and that of a leader that it gave up; with the largest value that any node may send.</summary>
    private static TimeSpan LongestWrite(ReplicationOptions options) => (2 * options.Timeout) + WritePath.ExtraTimeFor(LaneLimits.MaximumValueBytes);

    private bool IsOld(Reading reading) => time.GetElapsedTime(reading.At) >= _minimum;

    /// <param name="At">When, as a timestamp.</param>
    /// <param name="Clock">What the clock said.</param>
    /// <param name="Before">What it had said the time before, which is old for certain.</param>
    private sealed record Reading(long At, ulong Clock, ulong Before);
}
