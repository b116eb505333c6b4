using System.Buffers;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>What happens at, one below and one above every limit of the tier.</summary>
internal sealed class MemoryTierLimitTests
{
    private readonly ManualTime _time = new();

    private static readonly long[] BudgetsOutOfBounds = [MemoryTier.MinimumSizeLimit - 1, 1, MemoryTier.MaximumSizeLimit + 1];

    private static IEnumerable<TestCaseData> BudgetsWithinBounds() =>
    [
        new(MemoryTier.MinimumSizeLimit, Eviction.Lru), new(MemoryTier.MinimumSizeLimit + 1, Eviction.Lfu), new((16L << 20) - 1, Eviction.Lru),
        new(16L << 20, Eviction.Lru), new((64L << 20) - 1, Eviction.Lfu), new(64L << 20, Eviction.Lru), new(256L << 20, Eviction.Lru),
    ];

    [TestCaseSource(nameof(BudgetsOutOfBounds))]
    public void Budget_OutOfBounds_IsRefusedWithTheBoundsNamed(long budget) =>
        Assert.That(
            () => new MemoryTier(budget, Eviction.Lru, _time),
            Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains($"{MemoryTier.MinimumSizeLimit}"));

    [TestCaseSource(nameof(BudgetsWithinBounds))]
    public void Budget_WithinBounds_HoldsEntriesOfEverySizeInTurn(long budget, Eviction eviction)
    {
        using var tier = new MemoryTier(budget, eviction, _time);
        var clock = 0UL;
        foreach (var size in new[] { 0, 10, 100, 1_000, 5_000, 20_000, 40_000, 100_000, 10 })
        {
            for (var written = 0L; written < Math.Min(2 * budget, 3 << 20); written += size + 100)
            {
                clock++;
                Assert.That(tier.Put($"key{clock}", clock, TierFace.Value(size)), Is.EqualTo(ApplyOutcome.Applied));
                Assert.That(tier.Statistics.Bytes, Is.LessThanOrEqualTo(budget));
            }

            Assert.That(tier.Get($"key{clock}").AsSpan().SequenceEqual(TierFace.Value(size)), $"the last one of {size} bytes");
        }

        TierCheck.Verify(tier.Memory!);
    }

    [TestCase(15L << 30)]
    [TestCase(17L << 30)]
    [TestCase(40L << 30)]
    [TestCase(MemoryTier.MaximumSizeLimit)]
    public void Budget_OfManyGibibytes_HoldsEntriesOfEverySize(long budget)
    {
        using var tier = new MemoryTier(budget, Eviction.Lru, _time);
        for (var size = 0; size < 100_000; size += 1 + (size / 16))
        {
            Assert.That(tier.Put($"key{size}", 1, TierFace.Value(size, size)), Is.EqualTo(ApplyOutcome.Applied));
        }

        for (var size = 0; size < 100_000; size += 1 + (size / 16))
        {
            Assert.That(tier.Get($"key{size}").AsSpan().SequenceEqual(TierFace.Value(size, size)), $"the one of {size} bytes");
        }

        TierCheck.Verify(tier.Memory!);
    }

    [Test]
    public void BeforeTheFirstWrite_NothingIsMapped()
    {
        using var tier = new MemoryTier(1L << 30, Eviction.Lru, _time);
        tier.Get("a");
        Assert.That(tier.Forget(TierFace.Key("a"), default), Is.False);
        Assert.That(tier.Renew(TierFace.Key("a"), default, 0), Is.False);
        Assert.That(tier.HeldSlots().IsEmpty);
        tier.Clear();
        Assert.That((tier.Memory, tier.Statistics.Bytes, tier.Statistics.Misses), Is.EqualTo(((TierMemory?)null, 0L, 1L)));
    }

    [Test]
    public void Key_OfEveryLength_IsHeld([Values(0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 4_095, 4_096)] int length)
    {
        using var tier = new MemoryTier(1 << 20, Eviction.Lru, _time);
        var key = TierFace.Value(length, 7);
        var value = TierFace.Value(50);
        tier.Apply(key, TierFace.Info(1), new ReadOnlySequence<byte>(value), out _);
        tier.Apply([.. key, 1], TierFace.Info(1), new ReadOnlySequence<byte>([9]), out _);
        Assert.That(tier.Get(key), Is.EqualTo(value));
    }

    [Test]
    public void Value_AroundEverySizeClass_GrowsAndShrinksInPlaceOrMoves()
    {
        using var tier = new MemoryTier(64 << 20, Eviction.Lru, _time);
        var classes = new SizeClasses(new PageGeometry(64 << 20).PageBytes, unitBytes: 8);
        var random = new Random(5);
        var lengths = Enumerable.Range(0, classes.Count)
            .SelectMany(sizeClass => new[] { -1, 0, 1 }.Select(delta => Math.Max(0, classes.ChunkBytes(sizeClass) - EntryHeader.Bytes - 1 + delta)))
            .Concat([65_502, 65_503, 65_504, 65_505, 65_536, 131_072, 1 << 20])
            .ToArray();
        random.Shuffle(lengths);
        for (var i = 0; i < lengths.Length; i++)
        {
            Assert.That(tier.Put("k", (ulong)i + 1, TierFace.Value(lengths[i], i)), Is.EqualTo(ApplyOutcome.Applied));
            Assert.That(tier.Get("k").AsSpan().SequenceEqual(TierFace.Value(lengths[i], i)), $"length {lengths[i]}");
        }

        Assert.That((tier.Statistics.Entries, tier.Statistics.EvictedForSize), Is.EqualTo((1L, 0L)));
        TierCheck.Verify(tier.Memory!);
    }

    [Test]
    public void Value_OfTheLargestSize_LivesInTheSameBudget()
    {
        const int largest = 64 << 20;
        using var tier = new MemoryTier(100 << 20, Eviction.Lru, _time);
        for (var i = 0; i < 20_000; i++)
        {
            tier.Put($"small{i}", 1, TierFace.Value(3_000, i));
        }

        for (var round = 1; round <= 3; round++)
        {
            Assert.That(tier.Put("large", (ulong)round, TierFace.Value(largest, round)), Is.EqualTo(ApplyOutcome.Applied));
            Assert.That(tier.Statistics.Bytes, Is.LessThanOrEqualTo(100 << 20));
            Assert.That(tier.Get("large").AsSpan().SequenceEqual(TierFace.Value(largest, round)));
        }

        Assert.That(tier.Get("small19999") is not null, "the newest small ones stay");
        TierCheck.Verify(tier.Memory!);
    }

    [Test]
    public void Entry_AtTheLargestThatFits_IsHeldAndOneByteMoreIsRefused([Values(512L << 10, 20L << 20)] long budget)
    {
        using var tier = new MemoryTier(budget, Eviction.Lru, _time, null, new TierTuning(1));
        for (var i = 0; i < 3_000; i++)
        {
            tier.Put($"small{i}", 1, TierFace.Value(i % 400, i));
        }

        var largest = (int)tier.Memory!.MaximumEntryBytes - EntryHeader.Bytes - 1;
        var before = tier.Statistics.Entries;
        Assert.That(tier.Put("L", 1, new byte[largest + 1]), Is.EqualTo(ApplyOutcome.TooLarge));
        Assert.That(tier.Statistics.Entries, Is.EqualTo(before));
        Assert.That(tier.Put("L", 1, TierFace.Value(largest)), Is.EqualTo(ApplyOutcome.Applied));
        Assert.That(tier.Get("L").AsSpan().SequenceEqual(TierFace.Value(largest)));
        Assert.That(tier.Statistics.Bytes, Is.LessThanOrEqualTo(budget));
        TierCheck.Verify(tier.Memory!);
    }

    /// <summary>
    /// W-TinyLFU keeps of the former sizes what was used as often: that is its purpose. How fast the new ones get a fair part against it is chance, since slots are, but
    /// the longer they go on coming the more they have.
    /// </summary>
    [Test]
    public void Workload_WhoseSizesChangeCompletely_DoesNotStarve([Values] Eviction eviction)
    {
        const long budget = 8 << 20;
        var (fairPercent, passes) = eviction == Eviction.Lru ? (60, 1) : (25, 5);
        using var tier = new MemoryTier(budget, eviction, _time);
        foreach (var (size, turn) in new[] { 100, 3_000, 60, 20_000, 700, 60_000, 100 }.Select((size, turn) => (size, turn)))
        {
            var count = (int)(2 * budget / (size + 100));
            var held = 0L;
            for (var pass = 0; pass < passes && held * (size + 40L) <= budget * fairPercent / 100; pass++)
            {
                for (var i = 0; i < count; i++)
                {
                    tier.Put($"{turn}:{pass}:{i}", (ulong)size, TierFace.Value(size));
                    tier.Get($"{turn}:{pass}:{i}");
                }

                held = Enumerable.Range(0, (pass + 1) * count).Count(i => tier.Get($"{turn}:{i / count}:{i % count}", renew: false) is not null);
            }

            Assert.That(held * (size + 40L), Is.GreaterThan(budget * fairPercent / 100), $"bytes held of the values of {size} bytes");
        }

        TierCheck.Verify(tier.Memory!);
    }

    [Test]
    public void Tombstones_OverATenthOfTheBudget_GoOldestFirstAndAreCounted()
    {
        const long budget = 4 << 20;
        using var tier = new MemoryTier(budget, Eviction.Lru, _time, null, new TierTuning(1));
        tier.Put("value", 1, TierFace.Value(1_000));
        for (var i = 0; i < 20_000; i++)
        {
            tier.Put($"gone{i}", TierFace.Info(1, flags: EntryFlags.Tombstone), []);
        }

        var statistics = tier.Statistics;
        Assert.That(statistics.TombstoneBytes, Is.InRange(budget / 11, budget / 10));
        Assert.That(statistics.TombstonesDropped, Is.EqualTo(20_000 - statistics.Tombstones).And.Positive);
        Assert.That(tier.Look("gone19999", out _), Is.EqualTo(LookupOutcome.Tombstone));
        Assert.That(tier.Look($"gone{19_999 - statistics.Tombstones}", out _), Is.EqualTo(LookupOutcome.Miss));
        Assert.That(tier.Look($"gone{20_000 - statistics.Tombstones}", out _), Is.EqualTo(LookupOutcome.Tombstone));
        Assert.That(tier.Get("value"), Is.Not.Null);
    }

    [Test]
    public void Memory_GoesBackWhenTheTierEmpties()
    {
        using var tier = new MemoryTier(64 << 20, Eviction.Lru, _time);
        for (var i = 0; i < 40_000; i++)
        {
            var expiration = i % 100 == 0 ? Expiration.None : new Expiration(_time.Milliseconds() + 1_000, 0);
            tier.Put($"key{i}", TierFace.Info(1, expiration), TierFace.Value(1_000, i));
        }

        Assert.That(tier.Statistics.Bytes, Is.GreaterThan(40 << 20));
        _time.Advance(TimeSpan.FromSeconds(30));
        Assert.That(tier.Statistics.Entries, Is.EqualTo(400));
        Assert.That(tier.Statistics.Bytes, Is.LessThan(3 << 20), "pages with few entries are emptied too");
        Assert.That(tier.Get("key100"), Is.EqualTo(TierFace.Value(1_000, 100)));
        TierCheck.Verify(tier.Memory!);
    }

    [Test]
    public void ResidentMemory_GoesBackWhenTheTierIsCleared_AndWhenItIsDisposed([Values] bool clear)
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Ignore("The resident set is read from /proc.");
        }

        using var tier = new MemoryTier(300L << 20, Eviction.Lru, _time);
        for (var i = 0; i < 70_000; i++)
        {
            tier.Put($"key{i}", 1, TierFace.Value(3_000, i));
        }

        var full = ResidentBytes();
        if (clear)
        {
            tier.Clear();
        }
        else
        {
            tier.Dispose();
            Assert.That(SpinWait.SpinUntil(() => tier.Memory!.Pool.Memory.Handle.IsGivenBack, Patience.Time), "a huge block may just be on its way");
        }

        // Tests beside this one take and give memory too.
        Assert.That(full - ResidentBytes(), Is.GreaterThan(150L << 20));
    }

    [Test]
    public void Tiers_ThatNobodyDisposes_AreCollectedWithTheirMemory()
    {
        var tiers = Enumerable.Range(0, 100).Select(_ => Abandon(_time)).ToArray();
        for (var i = 0; i < 20 && tiers.Any(tier => tier.TryGetTarget(out var handle) && !handle.IsClosed); i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.That(tiers.Count(tier => tier.TryGetTarget(out var handle) && !handle.IsClosed), Is.Zero);
        _time.Advance(MemoryTier.SweepInterval);
        Assert.That(_time.ActiveTimers, Is.Zero, "their timers end at the next tick");
    }

    private static long ResidentBytes()
    {
        var line = File.ReadLines("/proc/self/status").First(text => text.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture) << 10;
    }

    private static WeakReference<AddressRange> Abandon(TimeProvider time)
    {
        var tier = new MemoryTier(64 << 20, Eviction.Lru, time);
        tier.Put("a", 1, TierFace.Value(100_000));
        return new WeakReference<AddressRange>(tier.Memory!.Pool.Memory.Handle);
    }
}
