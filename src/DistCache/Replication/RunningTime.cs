using DistCache.Memory;

namespace DistCache.Replication;

/// <summary>
/// The time for which this node has run, without that in which it stood still: paused, or on a machine that slept. In ticks of the clock for
/// durations, from 0 at its start. Not for many threads at once.
/// </summary>
internal sealed class RunningTime(TimeProvider time)
{
    /// <summary>
    /// A standstill that does not count. Longer than the one after which tombstones are kept for longer: what is left out here is so for them
    /// too. A gap between the two counts for absences and not for tombstones, which then live for longer than they need to.
    /// </summary>
    private static readonly TimeSpan Uncounted = 3 * MemoryTier.SweepInterval;

    private long _lookedAt = time.GetTimestamp();

    /// <summary>As of the last look.</summary>
    public long Now { get; private set; }

    /// <summary>This node runs: to be called again and again. Whoever looks first after a standstill takes it out of what counts.</summary>
    public void Look()
    {
        var now = time.GetTimestamp();
        var gap = now - _lookedAt;
        Now += time.GetElapsedTime(_lookedAt, now) < Uncounted ? gap : 0;
        _lookedAt = now;
    }

    public TimeSpan Since(long then) => time.GetElapsedTime(then, Now);

    /// <summary>Before the start too. Now, where that is not long ago.</summary>
    public long Ago(TimeSpan age) => Now - (age < TimeSpan.Zero ? 0 : (long)(age.TotalSeconds * time.TimestampFrequency));
}
