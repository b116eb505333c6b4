using System.Diagnostics;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Benchmarks.Memory;

/// <summary>Loads very many small entries: speed, budget, resident set, and the longest stall while the index grows.</summary>
internal static class LoadNumbers
{
    public static void Run(Arguments arguments)
    {
        var entries = arguments.Number("entries", 20_000_000);
        var budget = (long)arguments.Number("megabytes", 3_000) << 20;
        // Not what the runtime takes to compile all this at its first call.
        using (var warmUp = new MemoryTier(budget, Eviction.Lru, TimeProvider.System))
        {
            Load(warmUp, entries / 100, static _ => { });
        }

        using var tier = new MemoryTier(budget, Eviction.Lru, TimeProvider.System);
        var resident = Measure.ResidentBytes();
        using var watch = new StallWatch();
        var started = Stopwatch.GetTimestamp();
        Load(tier, entries, watch.Note);
        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        var statistics = tier.Statistics;
        Console.WriteLine(
            $"{entries:N0} entries of 16 + 32 bytes: {entries / seconds / 1e6:F2} M/s, {statistics.Entries:N0} held, {statistics.EvictedForSize:N0} evicted");
        Console.WriteLine(
            $"budget {budget >> 20} MiB, counted {statistics.Bytes >> 20} MiB, resident set grew by {(Measure.ResidentBytes() - resident) >> 20} MiB, "
            + $"{statistics.Bytes / (double)statistics.Entries:F1} bytes an entry");
        Console.WriteLine($"longest stall {watch.Longest}, of an idle loop {watch.LongestIdle}");
    }

    private static void Load(MemoryTier tier, int entries, Action<long> note)
    {
        var key = new byte[16];
        var value = new byte[32];
        for (var i = 0; i < entries; i++)
        {
            BitConverter.TryWriteBytes(key, i);
            var info = new EntryInfo(new EntryVersion((ulong)i + 1, 1), Expiration.None, 0, EntryFlags.None);
            var before = Stopwatch.GetTimestamp();
            tier.Apply(key, info, new(value), out _);
            note(before);
        }
    }
}
