using System.Diagnostics;

namespace DistCache.Benchmarks.Memory;

/// <summary>Only our own gets, on and on, for a profiler to watch.</summary>
internal static class HotNumbers
{
    public static void Run(Arguments arguments)
    {
        var entries = arguments.Number("entries", 3_000_000);
        using var tier = Side.Create("tier", entries * 400L, arguments.Number("shards", 0));
        for (var i = 0; i < entries; i++)
        {
            tier.Set(OverheadNumbers.Key(i), new byte[ThroughputNumbers.ValueBytes]);
        }

        var random = new Random(1);
        var byRank = Enumerable.Range(0, entries).ToArray();
        random.Shuffle(byRank);
        var zipf = new Zipf(entries, 0.99);
        var order = Enumerable.Range(0, 2_000_000).Select(_ => byRank[zipf.Next(random)]).ToArray();
        for (var round = 0; round < arguments.Number("rounds", 10); round++)
        {
            var processor = Environment.CpuUsage.TotalTime;
            var started = Stopwatch.GetTimestamp();
            ThroughputNumbers.Get(tier, order);
            Console.WriteLine(
                $"{order.Length / Stopwatch.GetElapsedTime(started).TotalSeconds / 1e6:F2} M/s, "
                + $"{(Environment.CpuUsage.TotalTime - processor).TotalNanoseconds / order.Length:F0} ns of processor time a get");
        }
    }
}
