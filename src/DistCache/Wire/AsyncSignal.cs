using System.Threading.Tasks.Sources;

namespace DistCache.Wire;

/// <summary>
/// Wakes one waiting loop, without allocating: a <see cref="Set"/> with nobody waiting is kept for the next wait, several count as one.
/// Only one waiter at a time.
/// </summary>
/// <param name="inline">The waiter goes on inside <see cref="Set"/>; else in the thread pool.</param>
internal sealed class AsyncSignal(bool inline) : IValueTaskSource
{
    private const int Clear = 0;
    private const int Kept = 1;
    private const int Waiting = 2;

    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = !inline };
    private int _state;

    public ValueTask WaitAsync()
    {
        _core.Reset();
        if (Interlocked.CompareExchange(ref _state, Waiting, Clear) == Clear)
        {
            return new ValueTask(this, _core.Version);
        }

        // Kept: a Set that comes just now finds Kept too and leaves it; what it announces is there already when the caller looks. That takes a
        // full fence: with less, the caller could look before others see that nothing is kept any more.
        Interlocked.Exchange(ref _state, Clear);
        return default;
    }

    public void Set()
    {
        while (true)
        {
            switch (Volatile.Read(ref _state))
            {
                case Kept:
                    return;
                case Clear when Interlocked.CompareExchange(ref _state, Kept, Clear) == Clear:
                    return;
                case Waiting when Interlocked.CompareExchange(ref _state, Clear, Waiting) == Waiting:
                    _core.SetResult(true);
                    return;
            }
        }
    }

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
