namespace DistCache.Replication;

/// <summary>
/// Knows whether this process has been standing still: paused, swapped out, in a long collection, on a machine that slept. While it stood,
/// others may have passed it over and led its slots; until <see cref="Ownership.Doubt"/> took note of that it must not answer alone. So
/// lateness is looked at with each answer, and not only when the timer gets its turn.
/// </summary>
internal sealed class Pulse(Ownership ownership, Absences absences, TimeProvider time, TimeSpan tolerance)
{
    /// <summary>Shorter than this, a hiccup of the thread pool would be taken for a standstill.</summary>
    public static readonly TimeSpan SmallestTolerance = TimeSpan.FromMilliseconds(200);

    /// <summary>Beats in a time of tolerance: a busy thread pool is not yet a standstill.</summary>
    private const int BeatsPerTolerance = 4;

    /// <summary>However patient: <see cref="Absences"/> wants to know that this node runs.</summary>
    private static readonly TimeSpan LongestInterval = TimeSpan.FromSeconds(1);

    private ITimer? _timer;
    private long _lastBeat;
    private long _lastBeatAt;

    /// <summary>More time has passed since the last beat than others wait for an answer.</summary>
    private bool IsLate => _timer is not null && time.GetElapsedTime(Volatile.Read(ref _lastBeat)) > tolerance;

    public void Start()
    {
        Note();
        var interval = tolerance / BeatsPerTolerance < LongestInterval ? tolerance / BeatsPerTolerance : LongestInterval;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((Pulse)state!).Beat(), this, interval, interval);
        }
    }

    public void Stop() => _timer?.Dispose();

    /// <summary>If the process stood still until just now, <see cref="Ownership.Current"/> is another routing from here on.</summary>
    public void NoticeStandstill()
    {
        if (!IsLate)
        {
            return false;
        }

        // What begins now is not the caller's.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            Beat();
        }

        return true;
    }

    private void Beat()
    {
        // The clock that counts durations stands still itself while a virtual machine is suspended; the one on the wall does not. If that was
        // set, and nobody stood still, a comparison was for nothing.
        var since = time.GetElapsedTime(Volatile.Read(ref _lastBeat));
        var sinceAtWall = time.GetUtcNow() - new DateTimeOffset(Volatile.Read(ref _lastBeatAt), TimeSpan.Zero);
        var stoodStill = since > sinceAtWall ? since : sinceAtWall;
        absences.Run();
        if (stoodStill > tolerance)
        {
            // Doubt first: between the two, whoever looks sees lateness or doubt. Two beats at once doubt twice, which costs and harms nothing.
            ownership.Doubt(stoodStill, Note);
        }
        else
        {
            Note();
        }
    }

    private void Note()
    {
        Volatile.Write(ref _lastBeatAt, time.GetUtcNow().Ticks);
        Volatile.Write(ref _lastBeat, time.GetTimestamp());
    }
}
