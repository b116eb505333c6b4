using System.Buffers;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>What the tier's callers rely on, whatever stands behind its face.</summary>
internal sealed class MemoryTierTests
{
    private const long Budget = 8 << 20;

    private readonly ManualTime _time = new();
    private MemoryTier _tier = null!;

    [SetUp]
    public void SetUp() => _tier = new MemoryTier(Budget, Eviction.Lru, _time);

    [TearDown]
    public void TearDown() => _tier.Dispose();

    [Test]
    public void Read_OfWhatWasApplied_GivesValueAndInfo()
    {
        var value = TierFace.Value(100);
        var info = TierFace.Info(5, new Expiration(_time.Milliseconds() + 1_000, 0));
        Assert.That(_tier.Put("a", info, value), Is.EqualTo(ApplyOutcome.Applied));

        var destination = new byte[200];
        var outcome = _tier.Read(TierFace.Key("a"), destination, renew: false, out var read, out var length);

        Assert.That((outcome, length, read), Is.EqualTo((LookupOutcome.Hit, 100, info)));
        Assert.That(destination[..100], Is.EqualTo(value));
    }

    [Test]
    public void Read_OfNothing_Misses() => Assert.That(_tier.Look("a", out _), Is.EqualTo(LookupOutcome.Miss));

    [Test]
    public void Read_IntoShortDestination_TellsLength_AndCountsWhenItIsCalledAgain()
    {
        _tier.Put("a", 1, TierFace.Value(100));
        var outcome = _tier.Read(TierFace.Key("a"), new byte[99], renew: false, out _, out var length);
        Assert.That((outcome, length), Is.EqualTo((LookupOutcome.TooSmall, 100)));
        Assert.That((_tier.Statistics.Hits, _tier.Statistics.Misses), Is.EqualTo((0L, 0L)));
        _tier.Read(TierFace.Key("a"), new byte[100], renew: false, out _, out _);
        Assert.That((_tier.Statistics.Hits, _tier.Statistics.Misses), Is.EqualTo((1L, 0L)));
    }

    [Test]
    public void EmptyKeyAndEmptyValue_AreAHit()
    {
        _tier.Put("", 1, []);
        Assert.That(_tier.Get(""), Is.Empty);
    }

    [Test]
    public void Apply_CopiesSegmentsInAndValuesOut()
    {
        var first = TierFace.Value(3_000, 1);
        var second = TierFace.Value(5_000, 2);
        var expected = first.Concat(second).ToArray();
        var head = new Segment(first);
        var sequence = new ReadOnlySequence<byte>(head, 0, head.Append(second), second.Length);
        _tier.Apply(TierFace.Key("a"), TierFace.Info(1), sequence, out _);
        first.AsSpan().Clear();

        Assert.That(_tier.Get("a"), Is.EqualTo(expected));
    }

    [Test]
    public void Apply_HigherVersion_Replaces()
    {
        _tier.Put("a", 1, [1]);
        Assert.That(_tier.Put("a", 2, [2, 2]), Is.EqualTo(ApplyOutcome.Applied));
        Assert.That(_tier.Get("a"), Is.EqualTo(new byte[] { 2, 2 }));
    }

    [Test]
    public void Apply_EqualVersion_IsAppliedWithoutChange()
    {
        _tier.Put("a", 1, [1]);
        var outcome = _tier.Apply(TierFace.Key("a"), TierFace.Info(1), new ReadOnlySequence<byte>([9]), out var held);
        Assert.That((outcome, held), Is.EqualTo((ApplyOutcome.Applied, TierFace.Version(1))));
        Assert.That(_tier.Get("a"), Is.EqualTo(new byte[] { 1 }));
    }

    [TestCase(4UL, 9U)]
    [TestCase(5UL, 1U)]
    public void Apply_LowerVersion_IsOlderAndTellsTheHeldOne(ulong clock, uint origin)
    {
        _tier.Apply(TierFace.Key("a"), TierFace.Info(5) with { Version = TierFace.Version(5, 2) }, new ReadOnlySequence<byte>([1]), out _);
        var info = TierFace.Info(0) with { Version = TierFace.Version(clock, origin) };
        var outcome = _tier.Apply(TierFace.Key("a"), info, new ReadOnlySequence<byte>([9]), out var held);
        Assert.That((outcome, held), Is.EqualTo((ApplyOutcome.Older, TierFace.Version(5, 2))));
        Assert.That(_tier.Get("a"), Is.EqualTo(new byte[] { 1 }));
    }

    [Test]
    public void Apply_Tombstone_IsSeenAsOneAndBeatsOlderValues()
    {
        _tier.Put("a", 1, [1]);
        _tier.Put("a", TierFace.Info(3, flags: EntryFlags.Tombstone), []);
        Assert.That(_tier.Look("a", out var info), Is.EqualTo(LookupOutcome.Tombstone));
        Assert.That(info.Version, Is.EqualTo(TierFace.Version(3)));
        Assert.That(_tier.Put("a", 2, [2]), Is.EqualTo(ApplyOutcome.Older));
        Assert.That((_tier.Statistics.Entries, _tier.Statistics.Tombstones), Is.EqualTo((1L, 1L)));
        Assert.That(_tier.Put("a", 4, [4]), Is.EqualTo(ApplyOutcome.Applied));
        Assert.That(_tier.Get("a"), Is.EqualTo(new byte[] { 4 }));
        Assert.That(_tier.Statistics.Tombstones, Is.Zero);
    }

    [Test]
    public void Apply_LargerThanTheBudget_IsRefusedAndLeavesTheRest()
    {
        for (var i = 0; i < 100; i++)
        {
            _tier.Put($"key{i}", 1, TierFace.Value(1_000, i));
        }

        _tier.Put("big", 1, [1]);
        Assert.That(_tier.Put("big", 2, new byte[Budget]), Is.EqualTo(ApplyOutcome.TooLarge));
        Assert.That(_tier.Get("big"), Is.EqualTo(new byte[] { 1 }));
        Assert.That(Enumerable.Range(0, 100).All(i => _tier.Get($"key{i}")!.AsSpan().SequenceEqual(TierFace.Value(1_000, i))));
        Assert.That(_tier.Statistics.EvictedForSize, Is.Zero);
    }

    [Test]
    public void AbsoluteExpiration_EndsAtItsMillisecond()
    {
        _tier.Put("a", TierFace.Info(1, new Expiration(_time.Milliseconds() + 1_000, 0)), [1]);
        _time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.That(_tier.Get("a"), Is.Not.Null);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(_tier.Get("a"), Is.Null);
        Assert.That(_tier.Statistics.Expired, Is.EqualTo(1));
    }

    [Test]
    public void SlidingExpiration_IsRenewedByRenewingReadsOnly()
    {
        _tier.Put("a", TierFace.Info(1, new Expiration(Expiration.Never, 1_000), _time.Milliseconds()), [1]);
        _time.Advance(TimeSpan.FromMilliseconds(900));
        Assert.That(_tier.Get("a", renew: true), Is.Not.Null);
        _time.Advance(TimeSpan.FromMilliseconds(900));
        Assert.That(_tier.Get("a", renew: false), Is.Not.Null);
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.That(_tier.Get("a"), Is.Null);
    }

    [Test]
    public void SlidingExpiration_IsCappedByTheAbsoluteOne()
    {
        var start = _time.Milliseconds();
        _tier.Put("a", TierFace.Info(1, new Expiration(start + 1_500, 1_000), start), [1]);
        _time.Advance(TimeSpan.FromMilliseconds(900));
        Assert.That(_tier.Get("a"), Is.Not.Null);
        _time.Advance(TimeSpan.FromMilliseconds(600));
        Assert.That(_tier.Get("a"), Is.Null);
    }

    [Test]
    public void Renew_MergesTowardsTheLatestUseOfThatVersion()
    {
        var start = _time.Milliseconds();
        _tier.Put("a", TierFace.Info(1, new Expiration(Expiration.Never, 1_000), start), [1]);
        Assert.That(_tier.Renew(TierFace.Key("a"), TierFace.Version(2), start + 500), Is.False);
        Assert.That(_tier.Renew(TierFace.Key("a"), TierFace.Version(1), start + 500), Is.True);
        Assert.That(_tier.Renew(TierFace.Key("a"), TierFace.Version(1), start + 200), Is.True);
        _tier.Look("a", out var info);
        Assert.That(info.LastAccess, Is.EqualTo(start + 500));
        Assert.That(_tier.Renew(TierFace.Key("b"), TierFace.Version(1), start), Is.False);
    }

    [Test]
    public void ExpiredEntry_CountsAsNotHeldForVersions()
    {
        _tier.Put("a", TierFace.Info(9, new Expiration(_time.Milliseconds() + 10, 0)), [1]);
        _time.Advance(TimeSpan.FromMilliseconds(10));
        Assert.That(_tier.Put("a", 1, [2]), Is.EqualTo(ApplyOutcome.Applied));
        Assert.That(_tier.Get("a"), Is.EqualTo(new byte[] { 2 }));
    }

    [Test]
    public void Sweep_RemovesExpiredEntriesWithoutARead()
    {
        for (var i = 0; i < 1_000; i++)
        {
            _tier.Put($"key{i}", TierFace.Info(1, new Expiration(_time.Milliseconds() + 1_000, 0)), [1]);
        }

        _tier.Put("stays", 1, [1]);
        _time.Advance(TimeSpan.FromSeconds(30));
        Assert.That((_tier.Statistics.Entries, _tier.Statistics.Expired), Is.EqualTo((1L, 1_000L)));
        Assert.That(_tier.HeldSlots().Count, Is.EqualTo(1));
    }

    [Test]
    public void Forget_DropsExactlyThatVersion()
    {
        _tier.Put("a", 2, [1]);
        Assert.That(_tier.Forget(TierFace.Key("a"), TierFace.Version(1)), Is.False);
        Assert.That(_tier.Forget(TierFace.Key("a"), TierFace.Version(2)), Is.True);
        Assert.That(_tier.Look("a", out _), Is.EqualTo(LookupOutcome.Miss));
        Assert.That(_tier.Forget(TierFace.Key("a"), TierFace.Version(2)), Is.False);
    }

    [Test]
    public void HeldSlots_AreThoseOfTheEntries()
    {
        _tier.Put("a", 1, [1]);
        _tier.Put("b", 1, [1]);
        _tier.Put("{a}c", 1, [1]);
        _tier.Forget(TierFace.Key("a"), TierFace.Version(1));
        _tier.Forget(TierFace.Key("b"), TierFace.Version(1));
        var held = _tier.HeldSlots();
        Assert.That((held.Count, held.Contains(Slot.Of(TierFace.Key("a")))), Is.EqualTo((1, true)));
    }

    [Test]
    public void Budget_IsKeptWhileMoreIsWritten()
    {
        for (var i = 0; i < 30_000; i++)
        {
            _tier.Put($"key{i}", 1, new byte[1_000]);
            Assert.That(_tier.Statistics.Bytes, Is.LessThanOrEqualTo(Budget));
        }

        Assert.That(_tier.Statistics.EvictedForSize, Is.GreaterThan(20_000));
        Assert.That(_tier.Get("key29999"), Is.Not.Null);
        Assert.That(_tier.Get("key0"), Is.Null);
    }

    [Test]
    public void Visit_ShowsEachEntryOfTheSlotsOnce()
    {
        for (var i = 0; i < 5_000; i++)
        {
            _tier.Put($"key{i}", (ulong)i + 1, TierFace.Value(i % 50, i));
        }

        var slots = new SlotSet();
        for (var i = 0; i < Slot.Count; i += 3)
        {
            slots.Add(new Slot(i));
        }

        var seen = Collect(slots, roomPerCall: 7);
        var expected = Enumerable.Range(0, 5_000).Select(i => $"key{i}").Where(key => slots.Contains(Slot.Of(TierFace.Key(key))));
        Assert.That(seen, Is.EquivalentTo(expected));
    }

    [Test]
    public void Visit_OfValuesOfAllSizes_ShowsEachOnceAndWhole()
    {
        using var tier = new MemoryTier(64 << 20, Eviction.Lru, _time);
        for (var i = 0; i < 1_200; i++)
        {
            tier.Put($"key{i}", (ulong)i + 1, TierFace.Value(i * 37, i));
        }

        var visitor = new Collector(int.MaxValue);
        var cursor = default(TierCursor);
        Assert.That(tier.Visit(SlotSet.All(), ref cursor, visitor));
        Assert.That(visitor.Keys, Is.EquivalentTo(Enumerable.Range(0, 1_200).Select(i => $"key{i}")));
    }

    [Test]
    public void Visit_WhileTheTierGrowsAndShrinks_StillShowsWhatStays()
    {
        using var tier = new MemoryTier(64 << 20, Eviction.Lru, _time);
        var before = Enumerable.Range(0, 2_000).Select(i => $"stays{i}").ToArray();
        foreach (var key in before)
        {
            tier.Put(key, 1, [1]);
        }

        var next = 0;
        var visitor = new Collector(25);
        var cursor = default(TierCursor);
        for (var calls = 0; !tier.Visit(SlotSet.All(), ref cursor, visitor); calls++)
        {
            visitor.Room = 25;
            for (var i = 0; i < 300; i++, next++)
            {
                tier.Put($"comes{next}", 1, [1]);
                if (calls > 40)
                {
                    tier.Forget(TierFace.Key($"comes{next - 12_000}"), TierFace.Version(1));
                }
            }

            Assert.That(calls, Is.LessThan(100_000));
        }

        Assert.That(visitor.Keys.Where(key => key.StartsWith("stays", StringComparison.Ordinal)), Is.EquivalentTo(before));
    }

    [Test]
    public void Visit_LeavesOutWhatIsExpired()
    {
        _tier.Put("a", TierFace.Info(1, new Expiration(_time.Milliseconds() + 4_000, 0)), [1]);
        _tier.Put("b", TierFace.Info(1, flags: EntryFlags.Tombstone), []);
        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.That(Collect(SlotSet.All(), 100), Is.EquivalentTo(new[] { "b" }));
    }

    [Test]
    public void Clear_LeavesNothing()
    {
        _tier.Put("a", 1, [1]);
        _tier.Clear();
        Assert.That((_tier.Statistics.Entries, _tier.HeldSlots().IsEmpty), Is.EqualTo((0L, true)));
        Assert.That(_tier.Put("a", 1, [2]), Is.EqualTo(ApplyOutcome.Applied));
        Assert.That(_tier.Get("a"), Is.EqualTo(new byte[] { 2 }));
    }

    [Test]
    public void Disposed_RefusesWork()
    {
        _tier.Put("a", 1, [1]);
        _tier.Dispose();
        _tier.Dispose();
        Assert.That(() => _tier.Get("a"), Throws.TypeOf<ObjectDisposedException>());
        Assert.That(() => _tier.Put("a", 2, [1]), Throws.TypeOf<ObjectDisposedException>());
        Assert.That(_time.ActiveTimers, Is.Zero);
    }

    [Test]
    public void BeforeTheFirstWrite_NoTimerRuns()
    {
        Assert.That(_tier.Get("a"), Is.Null);
        Assert.That(_time.ActiveTimers, Is.Zero);
        _tier.Put("a", 1, [1]);
        Assert.That(_time.ActiveTimers, Is.EqualTo(1));
    }

    [TestCase(0)]
    [TestCase(-1)]
    [TestCase(long.MinValue)]
    public void Budget_ThatIsNotPositive_IsRefused(long budget) =>
        Assert.That(() => new MemoryTier(budget, Eviction.Lru, _time), Throws.TypeOf<ArgumentOutOfRangeException>());

    private List<string> Collect(SlotSet slots, int roomPerCall)
    {
        var visitor = new Collector(roomPerCall);
        var cursor = default(TierCursor);
        while (!_tier.Visit(slots, ref cursor, visitor))
        {
            visitor.Room = roomPerCall;
        }

        return visitor.Keys;
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(byte[] memory) => Memory = memory;

        public Segment Append(byte[] memory)
        {
            var next = new Segment(memory) { RunningIndex = RunningIndex + Memory.Length };
            Next = next;
            return next;
        }
    }
}
