namespace DistCache.Tests;

/// <summary>A clock that moves only when a test says so. Timers fire inside <see cref="Advance"/>, in due order, on the calling thread.</summary>
internal sealed class ManualTime(DateTimeOffset? start = null) : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private DateTimeOffset _now = start ?? new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private long _elapsedTicks;
    private long _sequence;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>How a due timer's callback is run: on the calling thread, unless a test wants threads of the pool as the system's timers use them.</summary>
    public Action<Action> Run { get; set; } = static callback => callback();

    /// <summary>Called whenever somebody asks what time it is: between two steps of what is tested, where another thread might run.</summary>
    public Action? Asked { get; set; }

    /// <summary>The timers that were made and not disposed.</summary>
    public int ActiveTimers
    {
        get
        {
            lock (_lock)
            {
                return _timers.Count;
            }
        }
    }

    /// <summary>How long it is until the next timer fires; null while none is armed.</summary>
    public TimeSpan? NextDue
    {
        get
        {
            lock (_lock)
            {
                var due = _timers.Min(static timer => (long?)timer.DueAt) ?? long.MaxValue;
                return due == long.MaxValue ? null : TimeSpan.FromTicks(due - _elapsedTicks);
            }
        }
    }

    public override DateTimeOffset GetUtcNow()
    {
        Asked?.Invoke();
        lock (_lock)
        {
            return _now;
        }
    }

    public override long GetTimestamp() => Volatile.Read(ref _elapsedTicks);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        lock (_lock)
        {
            _timers.Add(timer);
        }

        timer.Change(dueTime, period);
        return timer;
    }

    public void Advance(TimeSpan duration)
    {
        var end = GetTimestamp() + duration.Ticks;
        while (TakeDue(end) is { } timer)
        {
            Run(timer.Fire);
        }

        lock (_lock)
        {
            MoveToLocked(end);
        }
    }

    /// <summary>Moves the clock without its timers, as a suspended machine does: days that no timer would live through one by one.</summary>
    public void Jump(TimeSpan duration)
    {
        lock (_lock)
        {
            MoveToLocked(_elapsedTicks + duration.Ticks);
        }
    }

    /// <summary>Sets the wall clock wrong, as an administrator does; durations do not notice.</summary>
    public void Skew(TimeSpan by)
    {
        lock (_lock)
        {
            _now += by;
        }
    }

    private void MoveToLocked(long elapsedTicks)
    {
        _now = _now.AddTicks(elapsedTicks - _elapsedTicks);
        Volatile.Write(ref _elapsedTicks, elapsedTicks);
    }

    private ManualTimer? TakeDue(long end)
    {
        lock (_lock)
        {
            var next = _timers.Where(timer => timer.DueAt <= end).MinBy(timer => (timer.DueAt, timer.Sequence));
            if (next is not null)
            {
                MoveToLocked(Math.Max(next.DueAt, _elapsedTicks));
                next.ArmLocked(next.Period > TimeSpan.Zero ? next.Period : Timeout.InfiniteTimeSpan);
            }

            return next;
        }
    }

    private sealed class ManualTimer(ManualTime time, TimerCallback callback, object? state) : ITimer
    {
        public long DueAt { get; private set; } = long.MaxValue;

        public long Sequence { get; private set; }

        public TimeSpan Period { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (time._lock)
            {
                Period = period;
                ArmLocked(dueTime);
            }

            return true;
        }

        public void ArmLocked(TimeSpan dueTime)
        {
            DueAt = dueTime < TimeSpan.Zero ? long.MaxValue : time._elapsedTicks + dueTime.Ticks;
            Sequence = time._sequence++;
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
    }
}
