using System.Diagnostics;

namespace DistCache.Benchmarks.Memory;

/// <summary>Overwrites at random with 3 M entries held, each side in a process of its own: time in GC pauses, longest stall of a set.</summary>
internal static class ChurnNumbers
{
    private const int ValueBytes = 100;

    public static void Run(Arguments arguments)
    {
        for (var round = 0; round < arguments.Number("rounds", 3); round++)
        {
            foreach (var side in new[] { "tier", "microsoft" })
            {
                Measure.InChild("memory", "churn-of", $"side={side}", $"entries={arguments.Number("entries", 3_000_000)}");
            }
        }
    }

    public static void RunOne(Arguments arguments)
    {
        var entries = arguments.Number("entries", 3_000_000);
        using var side = Side.Create(arguments.Text("side", "tier"), entries * 400L);
        var value = new byte[ValueBytes];
        // Made before: what is measured is the garbage of the caches, not that of this loop.
        var keys = Enumerable.Range(0, entries).Select(OverheadNumbers.Key).ToArray();
        foreach (var key in keys)
        {
            side.Set(key, value);
        }

        Measure.CollectGarbage();
        var random = new Random(1);
        using var watch = new StallWatch();
        var paused = GC.GetTotalPauseDuration();
        var started = Stopwatch.GetTimestamp();
        var sets = 0L;
        for (; Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(6); sets++)
        {
            var key = keys[random.Next(entries)];
            var before = Stopwatch.GetTimestamp();
            side.Set(key, value);
            watch.Note(before);
        }

        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        paused = GC.GetTotalPauseDuration() - paused;
        Console.WriteLine(
            $"{side.Name}: {sets / seconds / 1e6:F2} M sets/s, {paused.TotalSeconds / seconds:P2} of the time in GC pauses, longest stall of a set "
            + $"{watch.Longest}, of an idle loop {watch.LongestIdle}");
    }
}
