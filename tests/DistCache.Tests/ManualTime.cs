namespace DistCache.Tests;

/// <summary>A clock that stands still until a test advances it; timers fire during the advance, in due order, on the calling thread.</summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private DateTimeOffset _now = new(2026, 11, 21, 12, 0, 0, TimeSpan.Zero);
    private long _elapsedTicks;
    private long _sequence;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => _now;

    public override long GetTimestamp() => Volatile.Read(ref _elapsedTicks);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Sets the wall clock alone, as an administrator does; durations are not affected.</summary>
    public void SetUtcNow(DateTimeOffset now) => _now = now;

    public void Advance(TimeSpan time)
    {
        var end = _elapsedTicks + time.Ticks;
        while (NextDue(end) is { } timer)
        {
            MoveTo(Math.Max(timer.DueAt, _elapsedTicks));
            timer.Fire();
        }

        MoveTo(end);
    }

    private void MoveTo(long elapsedTicks)
    {
        _now = _now.AddTicks(elapsedTicks - _elapsedTicks);
        Volatile.Write(ref _elapsedTicks, elapsedTicks);
    }

    private ManualTimer? NextDue(long end)
    {
        lock (_lock)
        {
            return _timers.Where(timer => timer.DueAt <= end).MinBy(timer => (timer.DueAt, timer.Sequence));
        }
    }

    private sealed class ManualTimer(ManualTime time, TimerCallback callback, object? state) : ITimer
    {
        private TimeSpan _period = Timeout.InfiniteTimeSpan;

        public long DueAt { get; private set; }

        public long Sequence { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (time._lock)
            {
                _period = period;
                Arm(dueTime);
            }

            return true;
        }

        public void Fire()
        {
            lock (time._lock)
            {
                Arm(_period);
            }

            callback(state);
        }

        public void Dispose()
        {
            lock (time._lock)
            {
                time._timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Arm(TimeSpan dueTime)
        {
            time._timers.Remove(this);
            if (dueTime >= TimeSpan.Zero)
            {
                DueAt = time._elapsedTicks + dueTime.Ticks;
                Sequence = time._sequence++;
                time._timers.Add(this);
            }
        }
    }
}
