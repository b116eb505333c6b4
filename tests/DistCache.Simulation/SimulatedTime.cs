namespace DistCache.Simulation;

/// <summary>The clock of one life: monotonic time is the simulation's, without what its machine slept; the wall clock is wrong by what the node's is.</summary>
internal sealed class SimulatedTime(Simulation simulation, Life life) : TimeProvider
{
    private static readonly DateTimeOffset Start = new(2026, 11, 21, 0, 0, 0, TimeSpan.Zero);

    /// <summary>No two machines were started at the same time.</summary>
    private readonly long _uptime = TimeSpan.FromDays(1 + life.Node.Number).Ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => _uptime + simulation.Now - life.SleptTicks;

    public override DateTimeOffset GetUtcNow() => Start + simulation.Elapsed + life.Node.ClockError;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new SimulatedTimer(simulation, life, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    private sealed class SimulatedTimer(Simulation simulation, Life life, TimerCallback callback, object? state) : ITimer
    {
        private Event? _next;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Dispose();
            if (dueTime >= TimeSpan.Zero)
            {
                _next = simulation.Schedule(dueTime, life, () => Fire(period));
            }

            return true;
        }

        public void Dispose()
        {
            if (_next is not null)
            {
                _next.IsCancelled = true;
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Fire(TimeSpan period)
        {
            if (period > TimeSpan.Zero)
            {
                Change(period, period);
            }

            callback(state);
        }
    }
}
