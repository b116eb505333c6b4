using System.Diagnostics;

namespace DistCache.ClusterTests;

/// <summary>
/// Whether this process gets processors and threads. A thread of its own asks the pool for a beat over and over; one that comes so late that
/// other nodes may have passed this one over is a fault of the machine, which the test hears of.
/// </summary>
internal static class Beat
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    /// <summary>A writer waits so long for a replica: a quarter of <see cref="ReplicationOptions.Timeout"/> as it is if nobody sets it.</summary>
    private static readonly TimeSpan Late = TimeSpan.FromMilliseconds(250);

    /// <param name="tell">From when to when there was none, in ticks of <see cref="Stopwatch"/>, which are the same in all processes.</param>
    public static void Start(Action<long, long> tell) => new Thread(() => Run(tell)) { IsBackground = true, Name = "beat" }.Start();

    private static void Run(Action<long, long> tell)
    {
        using var beat = new SemaphoreSlim(0);
        while (true)
        {
            var from = Stopwatch.GetTimestamp();
            Thread.Sleep(Interval);
            ThreadPool.UnsafeQueueUserWorkItem(static beat => beat.Release(), beat, preferLocal: false);
            beat.Wait();
            var to = Stopwatch.GetTimestamp();
            if (Stopwatch.GetElapsedTime(from, to) >= Interval + Late)
            {
                tell(from, to);
            }
        }
    }
}
