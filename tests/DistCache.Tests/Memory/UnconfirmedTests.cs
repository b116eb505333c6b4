using DistCache.Entries;
using DistCache.Memory;
using DistCache.Tests.Membership;

namespace DistCache.Tests.Memory;

/// <summary>What an entry leaves behind when it goes before all owners are known to hold it.</summary>
public sealed class UnconfirmedTests
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(10);

    private readonly ManualTime _time = new();
    private MemoryTier _tier = null!;

    [SetUp]
    public void SetUp() => _tier = Make(64 << 20);

    [TearDown]
    public void TearDown()
    {
        TierCheck.Verify(_tier.Memory!);
        _tier.Dispose();
    }

    [Test]
    public void ExpiredEntry_ReadAfterItsEnd_IsATombstoneOfItsVersion()
    {
        var version = PutExpiring("a", 1_000);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(_tier.Look("a", out var info), Is.EqualTo(LookupOutcome.Tombstone));
        Assert.That((info.Version, info.IsTombstone), Is.EqualTo((version, true)));
        Assert.That(info.DueAt, Is.EqualTo(_time.Milliseconds() + (long)Lifetime.TotalMilliseconds));
    }

    [Test]
    public void ExpiredEntry_SweptWithoutARead_LeavesATombstoneThatGoesAfterItsLifetime()
    {
        PutExpiring("a", 1_000);
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.That(_tier.Statistics.Tombstones, Is.EqualTo(1));
        _time.Advance(Lifetime);
        Assert.That(_tier.Statistics.Entries, Is.Zero);
    }

    /// <summary>While the process stood still nobody could hear of the removal from it: what is left of its time begins when it runs again.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void Tombstone_AfterAStandstill_LivesAsIfItHadJustCome(bool isRead)
    {
        PutExpiring("a", 1_000);
        _time.Advance(TimeSpan.FromSeconds(10));
        _time.Jump(TimeSpan.FromHours(10));
        if (isRead)
        {
            Assert.That(_tier.Look("a", out var info), Is.EqualTo(LookupOutcome.Tombstone), "before any sweep");
            Assert.That(info.DueAt, Is.EqualTo(_time.Milliseconds() + (long)Lifetime.TotalMilliseconds), "as others are told");
        }

        _time.Advance(Lifetime - TimeSpan.FromSeconds(1));
        Assert.That(_tier.Statistics.Tombstones, Is.EqualTo(1));
        _time.Advance(TimeSpan.FromSeconds(11));
        Assert.That(_tier.Statistics.Entries, Is.Zero);
    }

    [Test]
    public void Tombstone_ShownToAVisitorRightAfterAStandstill_LivesAsLongAsItIsKept()
    {
        PutExpiring("a", 1_000);
        _time.Advance(TimeSpan.FromSeconds(10));
        _time.Jump(TimeSpan.FromMinutes(1));
        var seen = new List<EntryInfo>();
        var cursor = default(TierCursor);
        Assert.That(_tier.Visit(SlotSet.All(), ref cursor, new Seen(seen)), Is.True);
        Assert.That(seen.Select(info => info.DueAt), Is.EqualTo(new[] { _time.Milliseconds() + (long)Lifetime.TotalMilliseconds }));
    }

    [Test]
    public void Tombstone_WhenTheClockWasSetForwardAndBack_GoesAfterItsLifetime()
    {
        PutExpiring("a", 1_000);
        _time.Advance(TimeSpan.FromSeconds(10));
        _time.Skew(TimeSpan.FromHours(10));
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.That(_tier.Statistics.Tombstones, Is.EqualTo(1), "it looks like a standstill");
        _time.Skew(TimeSpan.FromHours(-10));
        _time.Advance(Lifetime + TimeSpan.FromSeconds(10));
        Assert.That(_tier.Statistics.Entries, Is.Zero);
    }

    [Test]
    public void ExpiredEntry_ShownToAVisitor_IsATombstone()
    {
        PutExpiring("a", 1_000);
        _time.Advance(TimeSpan.FromSeconds(1.5));
        var seen = new List<EntryInfo>();
        var cursor = default(TierCursor);
        Assert.That(_tier.Visit(SlotSet.All(), ref cursor, new Seen(seen)), Is.True);
        Assert.That(seen.Select(info => info.IsTombstone), Is.EqualTo(new[] { true }));
    }

    [Test]
    public void OlderCopy_ThatComesAfterTheEnd_IsRefused()
    {
        var version = PutExpiring("a", 1_000);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(_tier.Put("a", new EntryInfo(new EntryVersion(version.Clock - 1, 1), Expiration.None, 0, EntryFlags.None), [1]), Is.EqualTo(ApplyOutcome.Older));
    }

    [Test]
    public void SameVersion_ThatWasUsedLaterElsewhere_ComesBack()
    {
        var info = new EntryInfo(Now(), new Expiration(Expiration.Never, 1_000), _time.Milliseconds(), EntryFlags.None);
        _tier.Put("a", info, [1]);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(_tier.Look("a", out _), Is.EqualTo(LookupOutcome.Tombstone));
        Assert.That(_tier.Put("a", info with { LastAccess = _time.Milliseconds() }, [1]), Is.EqualTo(ApplyOutcome.Applied));
        Assert.That(_tier.Look("a", out _), Is.EqualTo(LookupOutcome.Hit));
    }

    [Test]
    public void ConfirmedEntry_ThatExpires_LeavesNothing()
    {
        PutExpiring("a", 10_000);
        Confirm("a");
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.That(_tier.Look("a", out _), Is.EqualTo(LookupOutcome.Miss));
        Assert.That(_tier.Statistics.Entries, Is.Zero);
    }

    [Test]
    public void Confirmation_OfOlderVersions_DoesNotCountForLaterOnes()
    {
        Confirm("a");
        _time.Advance(TimeSpan.FromSeconds(10));
        PutExpiring("a", 1_000);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(_tier.Look("a", out _), Is.EqualTo(LookupOutcome.Tombstone));
    }

    [TestCase(true, 59, 1)]
    [TestCase(true, 100, 0)]
    [TestCase(false, 100, 1)]
    public void Tombstone_ThatAllOwnersHold_GoesAfterAMinute(bool isConfirmed, int seconds, int left)
    {
        _tier.Put("a", new EntryInfo(Now(), new Expiration(_time.Milliseconds() + (long)Lifetime.TotalMilliseconds, 0), 0, EntryFlags.Tombstone), []);
        _time.Advance(TimeSpan.FromSeconds(5));
        if (isConfirmed)
        {
            Confirm("a");
        }

        _time.Advance(TimeSpan.FromSeconds(seconds - 5));
        Assert.That(_tier.Statistics.Tombstones, Is.EqualTo(left));
    }

    [TestCase(false)]
    [TestCase(true)]
    public void EvictedEntry_LeavesATombstone_UnlessConfirmed(bool isConfirmed)
    {
        _tier.Dispose();
        _tier = Make(1 << 20);
        _tier.Put("first", new EntryInfo(Now(), Expiration.None, 0, EntryFlags.None), TierFace.Value(1_000));
        if (isConfirmed)
        {
            Confirm("first");
            _time.Advance(TimeSpan.FromSeconds(3));
        }

        for (var i = 0; i < 1_000; i++)
        {
            _tier.Put($"next{i}", new EntryInfo(Now(), Expiration.None, 0, EntryFlags.None), TierFace.Value(1_000));
        }

        Assert.That(_tier.Look("first", out _), Is.EqualTo(isConfirmed ? LookupOutcome.Miss : LookupOutcome.Tombstone));
        Assert.That(_tier.Statistics.TombstoneBytes, Is.LessThanOrEqualTo(_tier.SizeLimit / TierMemory.TombstoneShare));
        Assert.That(_tier.Statistics.Bytes, Is.LessThanOrEqualTo(_tier.SizeLimit));
    }

    [Test]
    public void EntryWrittenAgain_BeforeTheTombstoneOfItsEvictionIsWritten_Stays()
    {
        var version = Now();
        _tier.Put("a", new EntryInfo(version, Expiration.None, 0, EntryFlags.None), [1]);
        Assert.That(_tier.Memory!.Shards[0].TryGivePage(), "as for another shard's sake");
        Assert.That(_tier.Statistics.Entries, Is.Zero);
        _tier.Put("a", new EntryInfo(version with { Clock = version.Clock + 1 }, Expiration.None, 0, EntryFlags.None), [2]);
        Assert.That(_tier.Get("a"), Is.EqualTo(new byte[] { 2 }));
    }

    [Test]
    public void ManySmallEntries_EvictedAllTheTime_KeepTombstonesWithinATenth_AndCountTheDropped()
    {
        _tier.Dispose();
        _tier = Make(1 << 20);
        for (var i = 0; i < 50_000; i++)
        {
            _tier.Put($"key{i}", new EntryInfo(Now(), Expiration.None, 0, EntryFlags.None), [1, 2, 3]);
        }

        Assert.That(_tier.Statistics.TombstoneBytes, Is.LessThanOrEqualTo(_tier.SizeLimit / TierMemory.TombstoneShare));
        Assert.That(_tier.Statistics.TombstonesDropped, Is.Positive);
        Assert.That(_tier.Statistics.Entries - _tier.Statistics.Tombstones, Is.GreaterThan(5_000), "values have the most of it");
    }

    [Test]
    public void TombstonesDropped_AllTheTime_AreLoggedOnceInTenMinutes()
    {
        var logger = new LineLogger();
        _tier.Dispose();
        _tier = new MemoryTier(1 << 20, Eviction.Lru, _time, logger, new TierTuning(1), Lifetime);
        for (var second = 0; second < 15 * 60; second += 5)
        {
            for (var i = 0; i < 300; i++)
            {
                _tier.Put($"key{second}/{i}", new EntryInfo(Now(), Expiration.None, 0, EntryFlags.None), [1, 2, 3]);
            }

            _time.Advance(TimeSpan.FromSeconds(5));
        }

        Assert.That(logger.Lines, Has.Length.EqualTo(2));
    }

    [Test]
    public void SmallestTier_HasRoomForWatermarksAndEntries()
    {
        _tier.Dispose();
        _tier = Make(MemoryTier.MinimumSizeLimit);
        for (var i = 0; i < 1_000; i++)
        {
            PutExpiring($"key{i}", 1_000);
            Assert.That(_tier.Look($"key{i}", out _), Is.EqualTo(LookupOutcome.Hit));
        }

        Assert.That(_tier.Statistics.Bytes, Is.LessThanOrEqualTo(_tier.SizeLimit));
    }

    private MemoryTier Make(long budget) => new(budget, Eviction.Lru, _time, null, new TierTuning(1), Lifetime);

    private EntryVersion Now() => new((ulong)_time.Milliseconds() << HybridClock.CounterBits, 1);

    private EntryVersion PutExpiring(string key, long milliseconds)
    {
        var version = Now();
        _tier.Put(key, new EntryInfo(version, new Expiration(_time.Milliseconds() + milliseconds, 0), 0, EntryFlags.None), [1]);
        return version;
    }

    /// <summary>The watermark has steps of about a second, so it goes a little beyond now.</summary>
    private void Confirm(string key) => _tier.Confirm(Slot.Of(TierFace.Key(key)), (ulong)(_time.Milliseconds() + 1_100) << HybridClock.CounterBits);

    private sealed class Seen(List<EntryInfo> seen) : IEntryVisitor
    {
        public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
        {
            seen.Add(info);
            return true;
        }
    }
}
