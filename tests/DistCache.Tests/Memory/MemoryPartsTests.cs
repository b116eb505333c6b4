using System.Buffers;
using System.Diagnostics;
using System.Reflection;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>The parts of the tier that stand on their own.</summary>
internal sealed class MemoryPartsTests
{
    [TestCase(13, 8)]
    [TestCase(14, 8)]
    [TestCase(16, 8)]
    [TestCase(16, 16)]
    [TestCase(16, 32)]
    public void SizeClasses_TakeEverySizeWithLittleSlack(int pageShift, int unitBytes)
    {
        var pageBytes = 1 << pageShift;
        var classes = new SizeClasses(pageBytes, unitBytes);
        for (var bytes = PageGeometry.MinimumChunkBytes; bytes <= classes.LargestChunkBytes; bytes++)
        {
            var sizeClass = classes.ClassOf(bytes);
            var chunk = classes.ChunkBytes(sizeClass);
            Assert.That(chunk, Is.GreaterThanOrEqualTo(bytes).And.LessThanOrEqualTo(unitBytes + (bytes > pageBytes / 32 ? bytes * 3 / 2 : bytes * 17 / 16)));
            Assert.That(chunk % unitBytes, Is.Zero);
            Assert.That(sizeClass == 0 || classes.ChunkBytes(sizeClass - 1) < bytes, "there is a smaller class that takes it");
        }

        Assert.That(classes.ClassOf(classes.LargestChunkBytes + 1), Is.EqualTo(classes.LargeClass));
        Assert.That(classes.Count, Is.LessThan(byte.MaxValue));
    }

    [TestCase(1L << 20, 8)]
    [TestCase(15L << 30, 8)]
    [TestCase(16L << 30, 16)]
    [TestCase(31L << 30, 16)]
    [TestCase(32L << 30, 32)]
    [TestCase(PageGeometry.MaximumBudget, 32)]
    public void Geometry_OfAnyBudget_HasTheSmallestUnitThatReachesAllItsAddresses(long budget, int unitBytes)
    {
        var geometry = new PageGeometry(budget);
        var pages = (long)geometry.FirstPageOf(geometry.MaximumRegions);
        Assert.That(geometry.UnitBytes, Is.EqualTo(unitBytes));
        Assert.That(geometry.AddressBytes >> geometry.UnitShift, Is.LessThanOrEqualTo(1UL << 32));
        Assert.That(pages * PageGeometry.PageInfoBytes, Is.LessThanOrEqualTo((long)geometry.FirstPage << geometry.PageShift), "the infos have room");
        Assert.That((long)geometry.AddressBytes, Is.GreaterThanOrEqualTo(Math.Min(2 * budget, PageGeometry.MaximumBudget - (64 << 20))));
    }

    [Test]
    public void Glance_AtAnyHandle_SeesNothingThatIsNotOpen()
    {
        if (!SystemMemory.CanReadReleased)
        {
            Assert.Ignore("Nobody looks without the lock where memory that was given back cannot be read.");
        }

        var geometry = new PageGeometry(8 << 20);
        var memory = new PageMemory(geometry);
        Assert.That(memory.TryGlance(memory.HandleOf(geometry.FirstPage, 0), out _, out _), Is.False, "no region is open yet");
        Assert.That(memory.TryAddRegion() && memory.TryAddRegion());
        var (first, end) = (memory.HandleOf(geometry.FirstPage, 0), memory.HandleOf(memory.PageCount, 0));
        var last = end - (uint)(geometry.PageBytes / 2 / geometry.UnitBytes);
        new Random(1).NextBytes(memory.Page(memory.PageCount - 1));
        foreach (var handle in new[] { 0u, 1u, first - 1, last + 1, end - 1, end, end + 1, memory.HandleOf(geometry.FirstPageOf(geometry.MaximumRegions), 0), uint.MaxValue })
        {
            Assert.That(memory.TryGlance(handle, out _, out _), Is.False, $"{handle}");
        }

        Assert.That(memory.TryGlance(first, out _, out var entry) && entry.Length == EntryHeader.Bytes, "zeros");
        for (var handle = last; handle > memory.HandleOf(memory.PageCount - 1, 0); handle--)
        {
            // Whatever it makes of such bytes it can read to the end.
            _ = memory.TryGlance(handle, out _, out entry) ? entry.Count((byte)0) : 0;
        }

        memory.Handle.Dispose();
    }

    [Test]
    public void KeyHash_SpreadsShortAndSimilarKeysOverAllItsBits()
    {
        var hash = new KeyHash(seed: 3);
        var counts = new int[64];
        const int keys = 20_000;
        var seen = new HashSet<ulong>();
        for (var i = 0; i < keys; i++)
        {
            var value = hash.Compute(TierFace.Key($"user:{i}:{new string('x', i % 40)}"));
            Assert.That(seen.Add(value));
            for (var bit = 0; bit < 64; bit++)
            {
                counts[bit] += (int)(value >> bit & 1);
            }
        }

        Assert.That(counts, Is.All.InRange(keys * 48 / 100, keys * 52 / 100));
    }

    [Test]
    public void KeyHash_OfTwoProcesses_Differs()
    {
        var key = TierFace.Key("a key");
        var (first, second) = (new KeyHash(null), new KeyHash(null));
        Assert.That(first.Compute(key), Is.Not.EqualTo(second.Compute(key)));
    }

    [Test]
    public void Sketch_CountsUsesAndForgetsThem()
    {
        using var memory = new TierMemory(4 << 20, Eviction.Lfu, default, tombstoneLifetime: 0, now: 0);
        var sketch = new FrequencySketch(memory.Pool, 0);
        Assert.That(sketch.TryResize(1_000));
        for (var i = 0; i < 6; i++)
        {
            sketch.Increment(123);
        }

        Assert.That(sketch.Estimate(123), Is.EqualTo(6));
        Assert.That(sketch.TryResize(8_000), "it doubles");
        Assert.That(sketch.Estimate(123), Is.EqualTo(6), "and keeps its counts");
        for (var i = 0UL; i < 200_000; i++)
        {
            sketch.Increment(0x9E3779B97F4A7C15 * (i + 1));
        }

        Assert.That(sketch.Estimate(123), Is.LessThan(FrequencySketch.MaximumCount), "counters are halved from time to time");
        Assert.That(sketch.TryResize(0));
        Assert.That(sketch.PageCount, Is.Zero);
    }

    [Test]
    public void Sketch_GrowingPageByPageAndHalvedLater_TellsWhatOneOfFullSizeWould()
    {
        const int firstEntries = 1_000;
        const int lastEntries = 9_000;
        using var memory = new TierMemory(4 << 20, Eviction.Lfu, default, tombstoneLifetime: 0, now: 0);
        var sketch = new FrequencySketch(memory.Pool, 0);
        Assert.That(sketch.TryResize(firstEntries));
        var keys = Enumerable.Range(1, 100).Select(i => 0x9E3779B97F4A7C15 * (ulong)i).ToArray();
        var uses = 0;
        foreach (var (i, key) in keys.Index())
        {
            for (var use = 0; use <= i % 10; use++, uses++)
            {
                sketch.Increment(key);
            }
        }

        var counts = keys.Select(sketch.Estimate).ToArray();
        Assert.That(counts.Max(), Is.GreaterThanOrEqualTo(10));
        for (var entries = firstEntries; entries <= lastEntries; entries += 500)
        {
            Assert.That(sketch.TryResize(entries));
            Assert.That(keys.Select(sketch.Estimate), Is.EqualTo(counts), $"with room for {entries}");
            Assert.That(sketch.PageCount, Is.EqualTo((entries + 1_023) / 1_024));
        }

        // Ten times as many uses as the entries it began with; then five times as many as it has now, twice, and nobody looks meanwhile.
        var before = UseOther(sketch, (10 * firstEntries) - uses - 1, keys);
        Assert.That(UseOther(sketch, 1, keys), Is.EqualTo(before.Select(count => count / 2)));
        Assert.That(UseOther(sketch, 10 * lastEntries, keys), Is.EqualTo(before.Select(count => count / 8)));
    }

    [Test]
    public void Addresses_ArePinnedUntilTheLastOneIsDone()
    {
        using var range = new AddressRange(1 << 20, (nuint)SystemMemory.GranuleBytes);
        Assert.That(range.TryPin() && range.TryPin());
        range.CloseMemory();
        Assert.That(range.TryPin(), Is.False, "nobody can any more");
        range.Unpin();
        Assert.That(range.IsGivenBack, Is.False);
        range.Unpin();
        Assert.That(range.IsGivenBack);
    }

    [Test]
    public void NoteOfAUse_ThatComesLate_TouchesNothingButLiveValuesOfItsShard()
    {
        using var memory = new TierMemory(64 << 20, Eviction.Lru, new TierTuning(2), tombstoneLifetime: 0, now: 0);
        var notes = new UseNotes();
        var own = new EntryStore(memory, 0, 64, Eviction.Lru, new ShardCounters(), notes);
        var other = new EntryStore(memory, 1, 64, Eviction.Lru, new ShardCounters(), new UseNotes());
        var (kept, older) = (Put(own, memory, "kept"), Put(own, memory, "older"));
        var (gone, foreign) = (Put(own, memory, "gone"), Put(other, memory, "foreign"));
        var removed = Put(own, memory, "removed", EntryFlags.Tombstone);
        own.Remove(gone);
        // As by a reader who looked when all this was other, or stood in other chunks of the page.
        foreach (var handle in new[] { gone, foreign, removed, gone + 100, kept + 1, kept + 3, kept })
        {
            notes.NoteHit(handle, out _);
        }

        own.SettleUses();
        var seen = new List<uint>();
        own.Lists.Verify((handle, _, _) => seen.Add(handle));
        Assert.That(seen, Is.EquivalentTo(new[] { kept, older, removed }));
        Assert.That(seen.IndexOf(kept), Is.LessThan(seen.IndexOf(older)), "the newest first");
        seen.Clear();
        other.Lists.Verify((handle, _, _) => seen.Add(handle));
        Assert.That(seen, Is.EqualTo(new[] { foreign }));
    }

    [Test]
    public void Index_WhoseEntriesGo_GivesItsPagesBackAndFindsWhatIsLeft()
    {
        const int count = 20_000;
        const int left = 100;
        using var memory = new TierMemory(4 << 20, Eviction.Lru, new TierTuning(1, HashSeed: 1), tombstoneLifetime: 0, now: 0);
        var store = new EntryStore(memory, 0, 64, Eviction.Lru, new ShardCounters(), new UseNotes());
        var handles = Enumerable.Range(0, count).Select(i => Put(store, memory, $"key{i}")).ToArray();
        Assert.That(store.Index.PageCount, Is.GreaterThan(15));
        Array.ForEach(handles[left..], store.Remove);
        Assert.That(store.Index.PageCount, Is.LessThanOrEqualTo(2));
        Assert.That(Enumerable.Range(0, left).Select(i => Find(store, memory, $"key{i}")), Is.EqualTo(handles[..left]));
    }

    /// <summary>The lock's number tells the holds apart.</summary>
    [TestCase(60, 160)]
    [TestCase(2_000, 17)]
    [TestCase(30_000, 2)]
    public void Visit_ShowsFewEntriesUnderOneHoldOfTheLock(int valueBytes, int most)
    {
        using var memory = new TierMemory(64 << 20, Eviction.Lru, new TierTuning(1, HashSeed: 1), tombstoneLifetime: 0, now: 0);
        var shardLock = new ShardLock();
        var store = new EntryStore(memory, 0, 64, Eviction.Lru, new ShardCounters(), new UseNotes());
        for (var i = 0; i < 1_000; i++)
        {
            Put(store, memory, $"key{i}", value: new byte[valueBytes]);
        }

        var visitor = new HoldCounter(shardLock);
        var (baseBucket, position) = (0, 0UL);
        var visit = new Visit(shardLock, store, new Pins(shardLock, memory.Pool), memory.Pool.Memory);
        Assert.That(visit.Show(SlotSet.All(), ref baseBucket, ref position, visitor, 0));
        Assert.That(visitor.EntriesOfHolds.Sum(), Is.EqualTo(1_000));
        Assert.That(visitor.EntriesOfHolds, Is.All.InRange(1, most));
    }

    [Test]
    public void FreedChunk_IsPoisonedInDebugBuilds()
    {
        using var memory = new TierMemory(64 << 20, Eviction.Lru, new TierTuning(1), tombstoneLifetime: 0, now: 0);
        var store = new EntryStore(memory, 0, 64, Eviction.Lru, new ShardCounters(), new UseNotes());
        Put(store, memory, "keeps the page", value: new byte[200]);
        var gone = Put(store, memory, "goes from the page", value: new byte[200]);
        var chunk = memory.Pool.Memory.Chunk(gone);
        store.Remove(gone);
        var isDebug = typeof(TierMemory).Assembly.GetCustomAttribute<DebuggableAttribute>() is { IsJITOptimizerDisabled: true };
        Assert.That(chunk[EntryHeader.Bytes..].ContainsAnyExcept(PageMemory.Poison), Is.Not.EqualTo(isDebug));
    }

    private static uint Put(EntryStore store, TierMemory memory, string key, EntryFlags flags = EntryFlags.None, byte[]? value = null)
    {
        var bytes = TierFace.Key(key);
        var keyHash = memory.Hash.Compute(bytes);
        Assert.That(store.TryPut(keyHash, bytes, Slot.Of(bytes), TierFace.Info(1, flags: flags), new ReadOnlySequence<byte>(value ?? []), held: 0));
        return store.Find(keyHash, bytes);
    }

    private static uint Find(EntryStore store, TierMemory memory, string key) => store.Find(memory.Hash.Compute(TierFace.Key(key)), TierFace.Key(key));

    private static int[] UseOther(FrequencySketch sketch, int uses, ulong[] keys)
    {
        for (var use = 0; use < uses; use++)
        {
            sketch.Increment(77);
        }

        return [.. keys.Select(sketch.Estimate)];
    }

    /// <summary>How many entries it was shown while the lock had one number.</summary>
    private sealed class HoldCounter(ShardLock shardLock) : IEntryVisitor
    {
        private uint _hold;

        public List<int> EntriesOfHolds { get; } = [];

        public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
        {
            Assert.That(shardLock.TryLook(out var hold), Is.False, "a small entry is shown under the lock");
            if (hold != _hold)
            {
                EntriesOfHolds.Add(0);
                _hold = hold;
            }

            EntriesOfHolds[^1]++;
            return true;
        }
    }
}
