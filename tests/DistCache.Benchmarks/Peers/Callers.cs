using System.Diagnostics;

namespace DistCache.Benchmarks.Peers;

/// <summary>What a number of callers, each waiting for its own answers, got done.</summary>
/// <param name="PerSecond">Operations of all of them.</param>
/// <param name="P50">Of the times that single operations took, in microseconds.</param>
/// <param name="P99">The same.</param>
/// <param name="Count">Operations of all of them, in all.</param>
/// <param name="Cost">What they cost this process.</param>
internal readonly record struct CallersResult(double PerSecond, double P50, double P99, long Count, Cost Cost)
{
    public double BytesPerOperation => (double)Cost.Bytes / Count;
}

internal static class Callers
{
    /// <summary>Every so many operations one is timed: reading the clock is part of what is measured.</summary>
    private const int SampleEvery = 8;

    /// <param name="callers">How many there are.</param>
    /// <param name="time">For how long.</param>
    /// <param name="operation">Of a caller, for the time so manieth; false where it came to nothing. Without a state machine of its own it costs nothing itself.</param>
    public static async Task<CallersResult> RunAsync(int callers, TimeSpan time, Func<int, int, ValueTask<bool>> operation)
    {
        var samples = Enumerable.Range(0, callers).Select(_ => new List<long>(1 << 14)).ToArray();
        var counts = new long[callers];
        var before = Cost.OfThisProcess();
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
        {
            for (var i = 0; clock.Elapsed < time; i++)
            {
                var start = Stopwatch.GetTimestamp();
                if (!await operation(caller, i))
                {
                    throw new InvalidOperationException("A miss, where nothing was evicted.");
                }

                counts[caller]++;
                if (i % SampleEvery == 0)
                {
                    samples[caller].Add(Stopwatch.GetTimestamp() - start);
                }
            }
        })));
        var seconds = clock.Elapsed.TotalSeconds;
        var cost = Cost.OfThisProcess() - before;
        var all = samples.SelectMany(list => list).Order().ToArray();
        var total = counts.Sum();
        return new CallersResult(total / seconds, Microseconds(all, 0.5), Microseconds(all, 0.99), total, cost);
    }

    private static double Microseconds(long[] sorted, double quantile) =>
        sorted.Length == 0 ? 0 : sorted[(int)((sorted.Length - 1) * quantile)] * 1e6 / Stopwatch.Frequency;
}
