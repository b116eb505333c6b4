using System.Buffers;
using System.IO.Compression;
using System.Text;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>Hit ratios over recorded accesses, against those of an exact LRU and the promise made for W-TinyLFU.</summary>
internal sealed class TraceTests
{
    private static readonly (string Trace, int Capacity, double Lru)[] Table =
    [
        ("glimpse", 500, 0.95), ("glimpse", 1_000, 11.21), ("multi2", 1_000, 47.80), ("multi2", 3_000, 71.18), ("sprite", 500, 78.30),
        ("sprite", 1_000, 90.64), ("two_pools", 100, 21.95), ("two_pools", 1_000, 54.41), ("loop", 512, 0.00), ("web07", 512, 45.74),
        ("web07", 2_048, 55.66),
    ];

    /// <summary>The shards of a tier with the default budget on a machine with two processors.</summary>
    private const int DefaultShards = 4;

    private static IEnumerable<TestCaseData> Rows() => Table.Select(row => new TestCaseData(row.Trace, row.Capacity, row.Lru));

    [TestCaseSource(nameof(Rows))]
    public void Lru_WithOneShard_IsExact(string trace, int capacity, double expected) =>
        Assert.That(HitRatio(Read(trace), capacity, 1, Eviction.Lru), Is.EqualTo(expected).Within(0.005 + 1e-9));

    [TestCaseSource(nameof(Rows))]
    public void Lru_WithTheDefaultShards_IsNearlyExact(string trace, int capacity, double expected) =>
        Assert.That(HitRatio(Read(trace), capacity, DefaultShards, Eviction.Lru), Is.EqualTo(expected).Within(1.5));

    [TestCase(1)]
    [TestCase(DefaultShards)]
    public void Lfu_OverAllTraces_KeepsItsPromise(int shards)
    {
        var gains = Table.Select(row => HitRatio(Read(row.Trace), row.Capacity, shards, Eviction.Lfu) - row.Lru).ToArray();
        Assert.That(gains.Average(), Is.GreaterThan(5));
        Assert.That(gains.Min(), Is.GreaterThan(-4));
    }

    private static double HitRatio(List<byte[]> keys, int capacity, int shards, Eviction eviction)
    {
        using var tier = new MemoryTier(64 << 20, eviction, new ManualTime(), null, new TierTuning(shards, capacity, HashSeed: 42));
        foreach (var key in keys)
        {
            if (tier.Read(key, [], true, out _, out _) == LookupOutcome.Miss)
            {
                tier.Apply(key, TierFace.Info(1), ReadOnlySequence<byte>.Empty, out _);
            }
        }

        Assert.That(tier.Statistics.Entries, Is.EqualTo(capacity));
        return 100.0 * tier.Statistics.Hits / keys.Count;
    }

    /// <summary>The traces are no part of the product: ../shared/traces beside the repository, or a folder above that has them.</summary>
    private static List<byte[]> Read(string trace)
    {
        for (var folder = new DirectoryInfo(TestContext.CurrentContext.TestDirectory); folder is not null; folder = folder.Parent)
        {
            var path = Path.Combine(folder.FullName, "shared", "traces", trace + ".txt.gz");
            if (File.Exists(path))
            {
                using var reader = new StreamReader(new GZipStream(File.OpenRead(path), CompressionMode.Decompress));
                return [.. reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(Encoding.UTF8.GetBytes)];
            }
        }

        Assert.Ignore("There are no traces in a folder shared/traces above this one.");
        return [];
    }
}
