using System.Buffers;
using System.IO.Compression;
using System.Text;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Benchmarks.Memory;

/// <summary>Hit ratios over recorded accesses, under a limit in entries.</summary>
internal static class TraceNumbers
{
    private static readonly (string Trace, int Capacity)[] Cases =
    [
        ("glimpse", 500), ("glimpse", 1_000), ("multi2", 1_000), ("multi2", 3_000), ("sprite", 500), ("sprite", 1_000),
        ("two_pools", 100), ("two_pools", 1_000), ("loop", 512), ("web07", 512), ("web07", 2_048),
    ];

    public static void Run(Arguments arguments)
    {
        var folder = arguments.Text("path", "");
        folder = folder.Length > 0 ? folder : FindTraces();
        foreach (var shards in new[] { 1, arguments.Number("shards", 4) })
        {
            var gains = new List<double>();
            Console.WriteLine($"{"trace",-10} {"entries",8} {"shards",6} {"LRU",7} {"LFU",7} {"gain",7}");
            foreach (var (trace, capacity) in Cases)
            {
                var keys = Read(Path.Combine(folder, trace + ".txt.gz"));
                var lru = HitRatio(keys, capacity, shards, Eviction.Lru);
                var lfu = Enumerable.Range(0, 3).Average(_ => HitRatio(keys, capacity, shards, Eviction.Lfu));
                gains.Add(lfu - lru);
                Console.WriteLine($"{trace,-10} {capacity,8} {shards,6} {lru,7:F2} {lfu,7:F2} {lfu - lru,7:F2}");
            }

            Console.WriteLine($"gain: mean {gains.Average():F2}, worst {gains.Min():F2} points");
        }
    }

    /// <summary>The traces are no part of the product: in shared/traces of this folder, of the program's, or of one above either.</summary>
    private static string FindTraces()
    {
        foreach (var start in new[] { Environment.CurrentDirectory, AppContext.BaseDirectory })
        {
            for (var folder = new DirectoryInfo(start); folder is not null; folder = folder.Parent)
            {
                var path = Path.Combine(folder.FullName, "shared", "traces");
                if (Directory.Exists(path))
                {
                    return path;
                }
            }
        }

        throw new DirectoryNotFoundException(
            $"There is no folder shared/traces above {Environment.CurrentDirectory} or {AppContext.BaseDirectory}. Name the one with the .txt.gz files: path=…");
    }

    private static List<byte[]> Read(string path)
    {
        using var reader = new StreamReader(new GZipStream(File.OpenRead(path), CompressionMode.Decompress));
        var keys = new List<byte[]>();
        while (reader.ReadLine() is { } line)
        {
            keys.Add(Encoding.UTF8.GetBytes(line));
        }

        return keys;
    }

    private static double HitRatio(List<byte[]> keys, int capacity, int shards, Eviction eviction)
    {
        using var tier = new MemoryTier(64 << 20, eviction, TimeProvider.System, null, new TierTuning(shards, capacity));
        var info = new EntryInfo(new EntryVersion(1, 1), Expiration.None, 0, EntryFlags.None);
        foreach (var key in keys)
        {
            if (tier.Read(key, [], true, out _, out _) == LookupOutcome.Miss)
            {
                tier.Apply(key, info, ReadOnlySequence<byte>.Empty, out _);
            }
        }

        return 100.0 * tier.Statistics.Hits / keys.Count;
    }
}
