namespace DistCache.Replication;

/// <summary>
/// Knows whether this process has been standing still: paused, swapped out, in a long collection, on a machine that slept. While it stood,
/// others may have passed it over and led its slots; until <see cref="Ownership.Doubt"/> took note of that it must not answer alone. So
/// lateness is looked at with each answer, and not only when the timer gets its turn.
/// </summary>
/// <param name="ownership">Is told.</param>
/// <param name="absences">Is told that this node runs.</param>
/// <param name="time">Both clocks.</param>
/// <param name="timeout">Of an operation.</param>
internal sealed class Pulse(Ownership ownership, Absences absences, TimeProvider time, TimeSpan timeout)
{
    /// <summary>Shorter than this, a hiccup of the thread pool would be taken for a standstill.</summary>
    private static readonly TimeSpan SmallestTolerance = TimeSpan.FromMilliseconds(200);

    /// <summary>Beats in a time of patience: a busy thread pool is not yet a standstill.</summary>
    private const int BeatsPerPatience = 4;

    /// <summary>However patient: <see cref="Absences"/> wants to know that this node runs.</summary>
    private static readonly TimeSpan LongestInterval = TimeSpan.FromSeconds(1);

    /// <summary>A timer may be as late as this: where nothing but the thread pool is late, others are answered meanwhile.</summary>
    private readonly TimeSpan _tolerance = timeout > SmallestTolerance ? timeout : SmallestTolerance;

    /// <summary>Nothing at all may run here for so long and no longer: after a quarter of the timeout others give a copy up, and pass this node over.</summary>
    private readonly TimeSpan _patience = timeout / 4 > SmallestTolerance ? timeout / 4 : SmallestTolerance;

    private ITimer? _timer;
    private long _lastSign;
    private long _lastBeat;
    private long _lastBeatAt;

    private TimeSpan Interval => _patience / BeatsPerPatience < LongestInterval ? _patience / BeatsPerPatience : LongestInterval;

    public void Start()
    {
        Note(time.GetTimestamp(), time.GetUtcNow().Ticks);
        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((Pulse)state!).Beat(), this, Interval, Interval);
        }
    }

    public void Stop() => _timer?.Dispose();

    /// <summary>If the process stood still until just now, <see cref="Ownership.Current"/> is another routing from here on.</summary>
    public void NoticeStandstill()
    {
        if (_timer is null)
        {
            return;
        }

        var now = time.GetTimestamp();
        var silence = time.GetElapsedTime(Volatile.Read(ref _lastSign), now);
        if (silence <= _patience && time.GetElapsedTime(Volatile.Read(ref _lastBeat), now) <= _tolerance)
        {
            if (silence > Interval)
            {
                // Timers are late, and yet somebody is answered: that is no standstill.
                Volatile.Write(ref _lastSign, now);
            }

            return;
        }

        // What begins now is not the caller's.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            Beat();
        }
    }

    private void Beat()
    {
        // The clock that counts durations stands still itself while a virtual machine is suspended; the one on the wall does not. If that was
        // set, and nobody stood still, a comparison was for nothing.
        var (now, wall) = (time.GetTimestamp(), time.GetUtcNow().Ticks);
        var since = time.GetElapsedTime(Volatile.Read(ref _lastBeat), now);
        var sinceAtWall = TimeSpan.FromTicks(wall - Volatile.Read(ref _lastBeatAt));
        var stoodStill = since > sinceAtWall ? since : sinceAtWall;
        absences.Run();
        if (stoodStill > _tolerance || time.GetElapsedTime(Volatile.Read(ref _lastSign), now) > _patience)
        {
            // Doubt first: between the two, whoever looks sees lateness or doubt. Two beats at once doubt twice, which costs and harms nothing.
            ownership.Doubt(stoodStill, () => Note(now, wall));
        }
        else
        {
            Note(now, wall);
        }
    }

    /// <summary>The beat was then, and not when it ends: the process may stand still in the middle of it.</summary>
    private void Note(long now, long wall)
    {
        Volatile.Write(ref _lastBeatAt, wall);
        Volatile.Write(ref _lastBeat, now);
        Volatile.Write(ref _lastSign, now);
    }
}
