namespace DistCache.Replication;

/// <summary>
/// Knows whether this process has been standing still: paused, swapped out, in a long collection. While it stood, others may have
/// passed it over and led its slots; until <see cref="Ownership.Doubt"/> took note of that it must not answer alone. So lateness is
/// looked at with each answer, and not only when the timer gets its turn.
/// </summary>
internal sealed class Pulse(Ownership ownership, Reunion reunion, TimeProvider time, TimeSpan tolerance, TimeSpan tombstoneLifetime)
{
    /// <summary>Shorter than this, a hiccup of the thread pool would be taken for a standstill.</summary>
    public static readonly TimeSpan SmallestTolerance = TimeSpan.FromMilliseconds(200);

    /// <summary>Beats in a time of tolerance: a busy thread pool is not yet a standstill.</summary>
    private const int BeatsPerTolerance = 4;

    private ITimer? _timer;
    private long _lastBeat;

    /// <summary>More time has passed since the last beat than others wait for an answer.</summary>
    public bool IsLate => _timer is not null && time.GetElapsedTime(Volatile.Read(ref _lastBeat)) > tolerance;

    public void Start()
    {
        Volatile.Write(ref _lastBeat, time.GetTimestamp());
        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((Pulse)state!).Beat(), this, tolerance / BeatsPerTolerance, tolerance / BeatsPerTolerance);
        }
    }

    public void Stop() => _timer?.Dispose();

    private void Beat()
    {
        // Doubt first: between the two, a reader sees lateness or doubt. Two beats at once doubt twice, which costs and harms nothing.
        if (IsLate)
        {
            // After so long the others may have forgotten what they removed: what is here could bring it back, and they have all of it.
            if (time.GetElapsedTime(Volatile.Read(ref _lastBeat)) >= Absences.TooLong(tombstoneLifetime) && !ownership.Current.IsAlone)
            {
                reunion.BeginAnew([]);
            }

            ownership.Doubt();
        }

        Volatile.Write(ref _lastBeat, time.GetTimestamp());
    }
}
