using System.Diagnostics;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Benchmarks.Memory;

/// <summary>A million entries that end in the same second: when they are gone, and how long an operation waits meanwhile.</summary>
internal static class ExpireNumbers
{
    private const int ValueBytes = 100;

    public static void Run(Arguments arguments)
    {
        var entries = arguments.Number("entries", 1_000_000);
        using var tier = new MemoryTier(1L << 30, Eviction.Lru, TimeProvider.System);
        var due = DateTimeOffset.UtcNow.AddSeconds(15);
        var key = new byte[21];
        var value = new byte[ValueBytes];
        for (var i = 0; i < entries; i++)
        {
            BitConverter.TryWriteBytes(key, i + 1);
            Put(tier, key, (ulong)i + 1, value, new Expiration(due.ToUnixTimeMilliseconds() + (i % 1_000), 0));
        }

        var full = tier.Statistics.Bytes;
        using var watch = new StallWatch();
        var gone = TimeSpan.MaxValue;
        var until = due.AddSeconds(60);
        for (var pass = 0; DateTimeOffset.UtcNow < until; pass++)
        {
            // Other sizes each time, so that the sets need pages of those that are given back.
            value = new byte[ValueBytes + (pass % 4 * 50)];
            for (var i = 0; i < 10_000; i++)
            {
                BitConverter.TryWriteBytes(key, -1 - i);
                var before = Stopwatch.GetTimestamp();
                Put(tier, key, (ulong)before, value, Expiration.None);
                watch.Note(before);
            }

            if (gone == TimeSpan.MaxValue && tier.Statistics.Expired >= entries)
            {
                // Memory that was idle for one more sweep goes back: that may not stall anybody either.
                gone = DateTimeOffset.UtcNow - due.AddSeconds(1);
                until = DateTimeOffset.UtcNow + (3 * MemoryTier.SweepInterval);
            }
        }

        Console.WriteLine(
            $"{tier.Statistics.Expired:N0} of {entries:N0} entries gone {gone.TotalSeconds:F1} s after the last was due; "
            + $"{full >> 20} MiB before, {tier.Statistics.Bytes >> 20} MiB now; longest stall of a set {watch.Longest}, "
            + $"of an idle loop {watch.LongestIdle}");
    }

    private static void Put(MemoryTier tier, byte[] key, ulong clock, byte[] value, Expiration expiration) =>
        tier.Apply(key, new EntryInfo(new EntryVersion(clock, 1), expiration, 0, EntryFlags.None), new(value), out _);
}
