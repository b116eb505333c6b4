using System.Buffers;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>One budget for everything, also when many threads want it at once, and also in the eyes of the operating system.</summary>
internal sealed class BudgetTests
{
    private readonly ManualTime _time = new();

    /// <summary>Where pages become larger, a region more begins, and huge blocks are used; and each filled to the brim with every kind of page.</summary>
    [TestCase(8L << 20)]
    [TestCase(40L << 20)]
    [TestCase(64L << 20)]
    [TestCase(65L << 20)]
    [TestCase(128L << 20)]
    [TestCase(300L << 20)]
    [TestCase(1L << 30)]
    public void ResidentMemory_IsWhatIsCounted_WithinATenth(long budget)
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Ignore("Only Linux tells what is resident of a range.");
        }

        using var tier = new MemoryTier(budget, Eviction.Lru, _time);
        // Those a little over half a page leave the most of their addresses unused, so their regions run out first.
        foreach (var size in new[] { 300, 33_000, 7_000, 200_000, 40 })
        {
            Fill(tier, size, budget * 5 / (size < 100 ? 16 : 4), threads: 2);
            CompareWithSystem(tier, $"after values of {size} bytes");
            Assert.That(tier.Statistics.Bytes, Is.GreaterThan(budget * 9 / 10), "all of it is for whatever is written");
        }

        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.That(tier.Statistics.Entries, Is.Zero);
        CompareWithSystem(tier, "after all have expired");
        Assert.That(tier.Statistics.Bytes, Is.LessThan((2 << 20) + (budget / 32)), "an empty tier keeps little");
    }

    [Test]
    public void ValuesOfTheLargestSize_FromManyThreads_ShareTheBudget()
    {
        const int largest = 64 << 20;
        const long budget = 150 << 20;
        // So many shards that nearly every key is the first one of its shard, whose index wants a page when all of them are in some writer's hands.
        using var tier = new MemoryTier(budget, Eviction.Lru, _time, null, new TierTuning(64));
        var values = Enumerable.Range(0, 3).Select(seed => TierFace.Value(largest, seed)).ToArray();
        var wrong = 0;
        InThreads(3, thread =>
        {
            var destination = new byte[largest];
            for (var round = 1; round <= 6; round++)
            {
                var applied = tier.Put($"{thread}:{round}", 1, values[thread]) == ApplyOutcome.Applied;
                var other = (thread + round) % 3;
                var outcome = tier.Read(TierFace.Key($"{other}:{round}"), destination, true, out _, out _);
                var isRight = outcome == LookupOutcome.Miss || destination.AsSpan().SequenceEqual(values[other]);
                Interlocked.Add(ref wrong, applied && isRight && tier.Statistics.Bytes <= budget ? 0 : 1);
            }
        });
        Assert.That(wrong, Is.Zero);
        Assert.That(tier.Statistics.Entries, Is.InRange(1, 2));
        TierCheck.Verify(tier.Memory!);
    }

    [Test]
    public void LargeValues_WhoseWritersHoldAllPages_DoNotWaitForEachOther()
    {
        const long budget = 4 << 20;
        using var tier = new MemoryTier(budget, Eviction.Lru, _time, null, new TierTuning(64, HashSeed: 1));
        tier.Put("first", 1, [1]);
        tier.Clear();
        // Two of them leave less than a page, and neither shard has one for its index. Small pages and those of large values have a region each.
        var room = budget - tier.Memory!.FixedBytes - (2 * tier.Memory.Pool.Memory.Geometry.RegionInfoBytes);
        var length = (int)(room / 2 / SystemMemory.GranuleBytes * SystemMemory.GranuleBytes) - EntryHeader.Bytes - 1;
        using var bothHaveTheirPages = new Barrier(2);
        var outcomes = new ApplyOutcome?[2];
        var started = TimeProvider.System.GetTimestamp();
        InThreads(2, thread =>
        {
            using var value = new WaitingValue(TierFace.Value(length, thread), bothHaveTheirPages);
            outcomes[thread] = tier.Apply(TierFace.Key($"{thread}"), TierFace.Info(1), new(value.Memory), out _);
        });
        Assert.That(outcomes, Is.All.EqualTo(ApplyOutcome.Applied));
        Assert.That(TimeProvider.System.GetElapsedTime(started), Is.LessThan(TimeSpan.FromSeconds(9)), "their patience is ten seconds");
        Assert.That(tier.Statistics.Entries, Is.EqualTo(1), "both do not fit");
        TierCheck.Verify(tier.Memory);
    }

    [Test]
    public void Tables_ThatWantAPageWhileSomeAreIdle_PushNobodyOut()
    {
        using var tier = new MemoryTier(4 << 20, Eviction.Lru, _time, null, new TierTuning(2, HashSeed: 1));
        tier.Put("first", 1, [1]);
        FillShard(tier, 1, 2 << 20);
        var memory = tier.Memory!;
        var shard = memory.Shards[0];
        var value = new ReadOnlySequence<byte>([1]);
        foreach (var key in KeysOf(tier, 0).Take(100_000).TakeWhile(_ => !shard.WantsPage))
        {
            var bytes = TierFace.Key(key);
            shard.TryApply(memory.Hash.Compute(bytes), bytes, Slot.Of(bytes), TierFace.Info(1), value, 0, out _, out _);
        }

        Assert.That(shard.WantsPage, "the budget is used up");
        Assert.That(memory.Shards[1].RemoveSome(int.MaxValue), Is.GreaterThan(1_000), "whose pages are idle now");
        var evicted = tier.Statistics.EvictedForSize;
        new RoomMaker(memory).MakeForTablesOf(shard);
        Assert.That(tier.Statistics.EvictedForSize, Is.EqualTo(evicted));
        Assert.That(shard.WantsPage, Is.False);
        TierCheck.Verify(memory);
    }

    [Test]
    public void Shard_ThatComesLateToAFullBudget_GetsItsFairPart([Values] Eviction eviction)
    {
        const long budget = 16 << 20;
        using var tier = new MemoryTier(budget, eviction, _time, null, new TierTuning(2, HashSeed: 1));
        tier.Put("first", 1, [1]);
        FillShard(tier, 0, 2 * budget);
        Assert.That(tier.Memory!.Shards[1].HeldBytes, Is.LessThan(budget / 100));
        var late = KeysOf(tier, 1).First();
        tier.Put(late, 1, TierFace.Value(100));
        Assert.That(tier.Get(late), Is.EqualTo(TierFace.Value(100)), "what was just written");
        FillShard(tier, 1, 2 * budget);
        Assert.That(tier.Memory.Shards[1].HeldBytes, Is.GreaterThan(tier.Memory.FairBytes * 9 / 10));
        Assert.That(tier.Memory.Shards[1].Count, Is.GreaterThan(tier.Statistics.Entries / 3));
        TierCheck.Verify(tier.Memory);
    }

    [Test]
    public void Workload_WhoseSizesChangeCompletely_DoesNotStarve_FromManyThreads([Values] Eviction eviction)
    {
        const long budget = 16 << 20;
        using var tier = new MemoryTier(budget, eviction, _time, null, new TierTuning(4));
        foreach (var size in new[] { 100, 3_000, 60, 15_000, 700, 100 })
        {
            // As in MemoryTierLimitTests: chance decides how fast W-TinyLFU lets them in.
            var (fairPercent, passes) = eviction == Eviction.Lru ? (60, 1) : (25, 5);
            var ofThisSize = 0L;
            for (var pass = 0; pass < passes && ofThisSize <= budget * fairPercent / 100; pass++)
            {
                Fill(tier, size, 2 * budget, threads: 3);
                ofThisSize = Enumerable.Range(0, 3).Sum(thread => Count(tier, thread, size, 2 * budget / 3)) * (size + 40L);
            }

            Assert.That(ofThisSize, Is.GreaterThan(budget * fairPercent / 100), $"of {tier.Statistics.PayloadBytes} bytes held, those of the values of {size}");
        }

        TierCheck.Verify(tier.Memory!);
    }

    [Test]
    public void LargeValue_RemovedWhileItIsShown_StaysWholeUntilThen_AndThenGoes()
    {
        using var tier = new MemoryTier(8 << 20, Eviction.Lru, _time, null, new TierTuning(1));
        tier.Put("large", 1, TierFace.Value(3 << 20, 5));
        var cursor = default(TierCursor);
        var visitor = new Remover(tier);
        Assert.That(tier.Visit(SlotSet.All(), ref cursor, visitor));
        Assert.That(visitor.Seen, Is.EqualTo(1));
        Assert.That(visitor.Charged, Is.GreaterThan(6 << 20), "its pages are nobody else's while it is shown");
        Assert.That(tier.Forget(TierFace.Key("next"), TierFace.Version(1)));
        tier.Clear();
        Assert.That(tier.Statistics.Bytes, Is.LessThan(1 << 20));
        TierCheck.Verify(tier.Memory!);
    }

    /// <summary>Takes away what it is shown, and writes something else as large.</summary>
    private sealed class Remover(MemoryTier tier) : IEntryVisitor
    {
        public int Seen { get; private set; }

        public long Charged { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
        {
            if (key.SequenceEqual("large"u8))
            {
                Seen++;
                Assert.That(tier.Forget(key, info.Version));
                tier.Put("next", 1, TierFace.Value(3 << 20, 6));
                Charged = tier.Statistics.Bytes;
                Assert.That(value.ToArray().AsSpan().SequenceEqual(TierFace.Value(3 << 20, 5)), "what it is shown has changed");
            }

            return true;
        }
    }

    /// <summary>Bytes that nobody sees before all are there who are waited for.</summary>
    private sealed class WaitingValue(byte[] value, Barrier others) : MemoryManager<byte>
    {
        private bool _isMet;

        /// <summary>Asks for no bytes: the length of it would else be that of what <see cref="GetSpan"/> gives.</summary>
        public override Memory<byte> Memory => CreateMemory(value.Length);

        public override Span<byte> GetSpan()
        {
            if (!_isMet)
            {
                _isMet = true;
                Assert.That(others.SignalAndWait(Patience.Time));
            }

            return value;
        }

        public override MemoryHandle Pin(int elementIndex = 0) => throw new NotSupportedException();

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }

    private static IEnumerable<string> KeysOf(MemoryTier tier, int shard) =>
        Enumerable.Range(0, int.MaxValue).Select(i => $"key{i}").Where(key => tier.Memory!.ShardOf(tier.Memory.Hash.Compute(TierFace.Key(key))).Number == shard);

    private static void FillShard(MemoryTier tier, int shard, long bytes)
    {
        var value = TierFace.Value(100);
        foreach (var key in KeysOf(tier, shard).Take((int)(bytes / 150)))
        {
            tier.Put(key, 2, value);
        }
    }

    private static void CompareWithSystem(MemoryTier tier, string when)
    {
        var counted = tier.Statistics.Bytes;
        // The tables on the managed heap are counted, and stand in no region.
        var resident = ResidentPages.BytesOf(tier.Memory!) + tier.Memory!.FixedBytes;
        TestContext.Out.WriteLine($"{when}: {counted >> 10} KiB counted, {resident >> 10} resident");
        Assert.That(counted, Is.LessThanOrEqualTo(tier.SizeLimit));
        Assert.That(resident, Is.EqualTo(counted).Within(10).Percent, when);
    }

    /// <summary>Each thread writes its share of the bytes, and watches the budget.</summary>
    private void Fill(MemoryTier tier, int size, long bytes, int threads)
    {
        var over = 0;
        var expiration = new Expiration(_time.Milliseconds() + 10_000, 0);
        InThreads(threads, thread =>
        {
            var value = TierFace.Value(size, size);
            for (var i = 0; i < bytes / threads / (size + 100); i++)
            {
                tier.Put($"{size}:{thread}:{i}", TierFace.Info((ulong)i + 1, expiration), value);
                Interlocked.Add(ref over, tier.Memory!.Pool.ChargedBytes > tier.SizeLimit ? 1 : 0);
            }
        });
        Assert.That(over, Is.Zero, "the budget was exceeded for a moment");
    }

    private static long Count(MemoryTier tier, int thread, int size, long bytes) =>
        Enumerable.Range(0, (int)(bytes / (size + 100))).Count(i => tier.Get($"{size}:{thread}:{i}", renew: false) is not null);

    private static void InThreads(int count, Action<int> work)
    {
        Exception? failure = null;
        var threads = Enumerable.Range(0, count).Select(number => new Thread(() =>
        {
            try
            {
                work(number);
            }
            catch (Exception e)
            {
                failure = e;
            }
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => Assert.That(thread.Join(Patience.Time), "a thread hangs"));
        Assert.That(failure, Is.Null);
    }
}
