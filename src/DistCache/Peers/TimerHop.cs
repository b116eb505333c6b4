namespace DistCache.Peers;

/// <summary>
/// Changes the thread by way of a timer that is due at once: for what may run the code of a caller, who is free to block, where others
/// wait for this thread. In the simulation it is the next event.
/// </summary>
internal static class TimerHop
{
    public static void Run(TimeProvider time, Action action)
    {
        ITimer? hop = null;
        hop = time.CreateTimer(
            _ =>
            {
                hop?.Dispose();
                action();
            },
            null,
            Timeout.InfiniteTimeSpan,
            Timeout.InfiniteTimeSpan);
        hop.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
    }
}
