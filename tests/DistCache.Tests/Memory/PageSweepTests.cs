using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>
/// A sweep finds a page without a lock, and gets that of the shard that the page was of. Until then, or by what it removes, the page may
/// have become another shard's.
/// </summary>
internal sealed class PageSweepTests
{
    private const long Due = 1_000;

    private MemoryTier _tier = null!;

    [SetUp]
    public void SetUp() => _tier = new MemoryTier(64 << 20, Eviction.Lru, new ManualTime(DateTimeOffset.UnixEpoch), null, new TierTuning(2));

    [TearDown]
    public void TearDown()
    {
        if (_tier.Memory is { } memory)
        {
            TierCheck.Verify(memory);
        }

        _tier.Dispose();
    }

    [TestCase(100)]
    [TestCase(100_000)]
    public void PageThatIsAnotherShardsByNow_IsLeftAlone(int valueBytes)
    {
        Put("a", valueBytes);
        var page = DuePage(out var owner);
        Assert.That(_tier.Memory!.Shards[1 - owner].SweepPage(page, Due, Due), Is.False);
        Assert.That((_tier.Statistics.Expired, _tier.Statistics.Entries), Is.EqualTo((0L, 1L)));
        Assert.That(_tier.Memory.Shards[owner].SweepPage(page, Due, Due), Is.False, "nothing is left in it");
        Assert.That((_tier.Statistics.Expired, _tier.Statistics.Entries), Is.EqualTo((1L, 0L)));
    }

    [Test]
    public void PageThatTheSweepEmpties_IsNotWrittenToAfterItHasGone()
    {
        Put("a", 100);
        var page = DuePage(out var owner);
        ref var info = ref _tier.Memory!.Pool.Memory.Info(page);
        _tier.Memory.Shards[owner].SweepPage(page, Due, Due);
        Assert.That((info.State, info.EarliestDue), Is.EqualTo((PageState.Free, Due)), "whoever takes it next says what is due in it");
    }

    [Test]
    public void PageInUse_IsOfOneShardForOnePurpose()
    {
        var info = default(PageInfo);
        info.SetUse(PageState.Slab, 63);
        Assert.That((info.State, info.Shard), Is.EqualTo((PageState.Slab, 63)));
        Assert.That(info.IsUsed(PageState.Slab, 63));
        Assert.That(info.IsUsed(PageState.Slab, 62) || info.IsUsed(PageState.LargeHead, 63), Is.False);
    }

    private void Put(string key, int valueBytes) => _tier.Put(key, TierFace.Info(1, new Expiration(Due, 0)), TierFace.Value(valueBytes));

    private int DuePage(out int shard)
    {
        var memory = _tier.Memory!;
        var page = Enumerable.Range(0, memory.Pool.PageCount).Single(page => memory.MayBeDue(page, Due, out _));
        memory.MayBeDue(page, Due, out shard);
        return page;
    }
}
