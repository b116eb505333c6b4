using System.Diagnostics.CodeAnalysis;
using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Knows whether this process has been standing still: paused, swapped out, in a long collection, on a machine that slept. While it stood,
/// others may have passed it over and led its slots; until <see cref="Ownership.Doubt"/> took note of that it must not answer alone. So
/// lateness is looked at with each answer, and not only when a timer gets its turn.
/// <para>
/// There are beats and signs. Beats come as all timers do: where they are late the lanes are too, and others get no answers. A sign is anything that runs
/// at all, an answer or a timer that shares no thread: where there is none for long, not even that could run.
/// </para>
/// </summary>
/// <param name="ownership">Is told.</param>
/// <param name="absences">Is told that this node runs.</param>
/// <param name="time">Both clocks, and the timer of beats.</param>
/// <param name="signTime">The timer of signs.</param>
/// <param name="timeout">Of an operation.</param>
/// <param name="logger">Told what a timer met.</param>
internal sealed class Pulse(Ownership ownership, Absences absences, TimeProvider time, TimeProvider signTime, TimeSpan timeout, ILogger logger)
{
    /// <summary>Shorter than this, a hiccup would be taken for a standstill.</summary>
    private static readonly TimeSpan SmallestPatience = TimeSpan.FromMilliseconds(200);

    /// <summary>However patient: <see cref="Absences"/> wants to know that this node runs.</summary>
    private static readonly TimeSpan LongestInterval = TimeSpan.FromSeconds(1);

    /// <summary>Four in a time of patience.</summary>
    private const int PerPatience = 4;

    /// <summary>Beats may be as late as this: after half of it another owner leads the writes of one that gives no answer.</summary>
    private readonly TimeSpan _patienceForBeats = timeout > SmallestPatience ? timeout : SmallestPatience;

    /// <summary>Signs may: after a quarter of the timeout others give a copy up, and pass this node over.</summary>
    private readonly TimeSpan _patienceForSigns = timeout / 4 > SmallestPatience ? timeout / 4 : SmallestPatience;

    private volatile ITimer? _beats;
    private ITimer? _signs;
    private string? _lastFailure;
    private long _lastSign;
    private long _lastBeat;
    private long _lastBeatAt;

    private TimeSpan SignInterval => IntervalFor(_patienceForSigns);

    public void Start()
    {
        Note(time.GetTimestamp(), time.GetUtcNow().Ticks);
        using (ExecutionContext.SuppressFlow())
        {
            var interval = IntervalFor(_patienceForBeats);
            _beats = time.CreateTimer(static state => ((Pulse)state!).Run(static pulse => pulse.Beat()), this, interval, interval);
            _signs = signTime.CreateTimer(static state => ((Pulse)state!).Run(static pulse => pulse.NoticeStandstill()), this, SignInterval, SignInterval);
        }
    }

    public void Stop()
    {
        _beats?.Dispose();
        _signs?.Dispose();

        // Nothing is noted from here on, so nothing is late.
        _beats = null;
    }

    /// <summary>If the process stood still until just now, <see cref="Ownership.Current"/> is another routing from here on.</summary>
    public void NoticeStandstill()
    {
        if (_beats is null)
        {
            return;
        }

        var now = time.GetTimestamp();
        if (IsLate(now))
        {
            // What begins now is not the caller's.
            using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
            {
                Doubt();
            }
        }
        else if (2 * time.GetElapsedTime(Volatile.Read(ref _lastSign), now) > SignInterval)
        {
            Advance(ref _lastSign, now);
        }
    }

    private static TimeSpan IntervalFor(TimeSpan patience) => patience / PerPatience < LongestInterval ? patience / PerPatience : LongestInterval;

    /// <summary>What a timer comes for; an exception is counted, and logged once for the same failure in a row.</summary>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "On a timer's thread it would end the process.")]
    private void Run(Action<Pulse> callback)
    {
        try
        {
            callback(this);
        }
        catch (Exception exception)
        {
            Report(exception);
        }
    }

    private void Report(Exception exception)
    {
        var failure = $"{exception.GetType()}: {exception.Message}";
        Metrics.BackgroundFailed(nameof(Pulse));
        if (Interlocked.Exchange(ref _lastFailure, failure) != failure)
        {
            Log.BackgroundFailed(logger, nameof(Pulse), exception);
        }
    }

    private void Beat()
    {
        absences.Run();
        var (now, wall) = (time.GetTimestamp(), time.GetUtcNow().Ticks);
        if (Lateness(now, wall) is null)
        {
            Note(now, wall);
        }
        else
        {
            Doubt();
        }
    }

    /// <summary>Of all that notice a standstill one doubts; for the others it is noted when they come to it.</summary>
    private void Doubt()
    {
        // The beat is when it begins, and not when it ends: the process may stand still in the middle of it.
        var (now, wall) = (0L, 0L);
        ownership.Doubt(
            () =>
            {
                (now, wall) = (time.GetTimestamp(), time.GetUtcNow().Ticks);
                return Lateness(now, wall);
            },
            () => Note(now, wall));
    }

    private bool IsLate(long now) =>
        time.GetElapsedTime(Volatile.Read(ref _lastSign), now) > _patienceForSigns || time.GetElapsedTime(Volatile.Read(ref _lastBeat), now) > _patienceForBeats;

    /// <summary>
    /// For how long nothing came, if that was too long. The clock that counts durations stands still itself while a virtual machine is suspended; the one on the
    /// wall does not. If that was set, and nobody stood still, a comparison was for nothing.
    /// </summary>
    private TimeSpan? Lateness(long now, long wall)
    {
        var since = time.GetElapsedTime(Volatile.Read(ref _lastBeat), now);
        var sinceAtWall = TimeSpan.FromTicks(wall - Volatile.Read(ref _lastBeatAt));
        return IsLate(now) || sinceAtWall > _patienceForBeats ? since > sinceAtWall ? since : sinceAtWall : null;
    }

    /// <summary>Not if it comes late itself: another one has been noted since.</summary>
    private void Note(long now, long wall)
    {
        if (Advance(ref _lastBeat, now))
        {
            Volatile.Write(ref _lastBeatAt, wall);
        }

        Advance(ref _lastSign, now);
    }

    private static bool Advance(ref long stamp, long now)
    {
        for (var last = Volatile.Read(ref stamp); last < now;)
        {
            var seen = Interlocked.CompareExchange(ref stamp, now, last);
            if (seen == last)
            {
                return true;
            }

            last = seen;
        }

        return false;
    }
}
