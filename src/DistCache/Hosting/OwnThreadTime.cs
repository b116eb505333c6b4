namespace DistCache.Hosting;

/// <summary>
/// The system's time, whose timers run on a thread of their own each. For what comes many times a second and is over at once: a thread of the pool
/// that is woken for it looks for more to do for twenty times as long; and it must not be late because the pool is.
/// </summary>
internal sealed class OwnThreadTime : TimeProvider
{
    /// <summary>The callback must not block: the next one waits for it. Nor may it throw, as with any thread: it would end the process.</summary>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        new ThreadTimer(() => callback(state), dueTime, period);

    private sealed class ThreadTimer : ITimer
    {
        private readonly object _monitor = new();
        private readonly Action _callback;
        private TimeSpan _dueIn;
        private TimeSpan _period;
        private bool _isDisposed;

        public ThreadTimer(Action callback, TimeSpan dueTime, TimeSpan period)
        {
            (_callback, _dueIn, _period) = (callback, dueTime, period);
            new Thread(Run) { IsBackground = true, Name = "DistCache timer" }.UnsafeStart();
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (_monitor)
            {
                (_dueIn, _period) = (dueTime, period);
                Monitor.Pulse(_monitor);
                return !_isDisposed;
            }
        }

        public void Dispose()
        {
            lock (_monitor)
            {
                _isDisposed = true;
                Monitor.Pulse(_monitor);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }

        private void Run()
        {
            while (IsDue())
            {
                _callback();
            }
        }

        /// <summary>Waits until it is; false when it never will be again.</summary>
        private bool IsDue()
        {
            lock (_monitor)
            {
                while (!_isDisposed)
                {
                    var dueIn = _dueIn;
                    _dueIn = _period;
                    if (!Monitor.Wait(_monitor, dueIn))
                    {
                        return true;
                    }
                }

                return false;
            }
        }
    }
}
