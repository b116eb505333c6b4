namespace DistCache.Replication;

/// <summary>
/// Wakes callers whose first question is still unanswered after the hedge delay. All wait for the same time, so a queue in order of
/// arrival and one timer, armed only while somebody waits, take the place of a timer for each read.
/// </summary>
internal sealed class HedgeClock(TimeProvider time, TimeSpan delay)
{
    /// <summary>A caller is woken so much late at the most.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(5);

    private readonly Lock _lock = new();
    private readonly Queue<(long AskedAt, FirstAnswer Answer, int Version)> _waiting = new();
    private ITimer? _timer;

    /// <summary>Watches over this use of <paramref name="answer"/>.</summary>
    public void Watch(FirstAnswer answer)
    {
        lock (_lock)
        {
            _waiting.Enqueue((time.GetTimestamp(), answer, answer.Version));
            if (_waiting.Count == 1)
            {
                Arm(delay);
            }
        }
    }

    private void Arm(TimeSpan dueIn)
    {
        if (_timer is not null)
        {
            _timer.Change(dueIn, Timeout.InfiniteTimeSpan);
            return;
        }

        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((HedgeClock)state!).WakeDue(), this, dueIn, Timeout.InfiniteTimeSpan);
        }
    }

    private void WakeDue()
    {
        while (TakeDue() is { Answer: { } answer } due)
        {
            answer.Hedge(due.Version);
        }
    }

    /// <summary>The next that is due; none, and the timer armed for the rest, if there is no more.</summary>
    private (FirstAnswer? Answer, int Version) TakeDue()
    {
        lock (_lock)
        {
            if (!_waiting.TryPeek(out var next))
            {
                return default;
            }

            var left = delay - time.GetElapsedTime(next.AskedAt);
            if (left > TimeSpan.Zero)
            {
                Arm(left > Tick ? left : Tick);
                return default;
            }

            _waiting.Dequeue();
            return (next.Answer, next.Version);
        }
    }
}
