namespace DistCache.Memory;

/// <summary>
/// Looks for what is over, every few seconds, without waiting for anybody to read it: expired entries, sparse pages, idle memory. Holds
/// its tier weakly, so a tier that nobody disposes goes, and its timer after it.
/// </summary>
internal sealed class Sweeper : IDisposable
{
    private readonly WeakReference<MemoryTier> _tier;
    private readonly ITimer _timer;
    private int _isSweeping;

    public Sweeper(MemoryTier tier, TimeProvider time)
    {
        _tier = new WeakReference<MemoryTier>(tier);
        // The timer would otherwise carry the async locals of whoever wrote first.
        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(
                static state => ((Sweeper)state!).Tick(), this, MemoryTier.SweepInterval, MemoryTier.SweepInterval);
        }
    }

    public void Dispose() => _timer.Dispose();

    private void Tick()
    {
        if (!_tier.TryGetTarget(out var tier))
        {
            Dispose();
            return;
        }

        tier.NoteThatItRuns();

        // A sweep of very many entries may take longer than the interval.
        if (Interlocked.Exchange(ref _isSweeping, 1) == 0)
        {
            try
            {
                tier.Sweep();
            }
            finally
            {
                Volatile.Write(ref _isSweeping, 0);
            }
        }
    }
}
