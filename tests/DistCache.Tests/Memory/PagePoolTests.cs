using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>One budget, whichever kind of pages it is used for.</summary>
internal sealed class PagePoolTests
{
    private const int LargeBytes = 36 << 10;

    /// <summary>
    /// Large entries that leave much of each page uncommitted need most of the addresses, and small ones need them back. The budgets: around
    /// a region, some regions, the last without huge blocks, and with those.
    /// </summary>
    [Test]
    public void Budget_UsedForOneKindOfPages_IsThereForTheOther([Values(64, 65, 128, 255, 1_024)] int mebibytes, [Values] bool isLarge)
    {
        var limit = (long)mebibytes << 20;
        var geometry = new PageGeometry(limit);
        if (geometry.PageBytes / geometry.GranuleBytes < 2)
        {
            Assert.Ignore("Pages are committed whole where the system's are as large.");
        }

        using var pool = new PagePool(new PageMemory(geometry), limit, 0);
        for (var round = 0; round < 4; round++, isLarge = !isLarge)
        {
            var taken = new List<int>();
            var bytesEach = isLarge ? LargeBytes : geometry.PageBytes;
            var least = limit - ((long)geometry.MaximumRegions * geometry.RegionInfoBytes) - geometry.PageBytes;
            // For blocks that are charged already, and that another thread is still committing.
            SpinWait.SpinUntil(() => TakeAll(pool, isLarge, taken) * (long)bytesEach >= least, Patience.Time);
            Assert.That(taken, Is.Unique);
            Assert.That(taken.Count * (long)bytesEach, Is.InRange(least, limit), $"round {round}");
            pool.Verify(0);
            taken.ForEach(pool.Give);
            pool.Verify(0);
        }
    }
    private static int TakeAll(PagePool pool, bool isLarge, List<int> taken)
    {
        while (isLarge
            ? pool.TryTakeLarge(LargeBytes, PageState.LargeTail, 0, out var page)
            : pool.TryTake(PageState.Slab, 0, out page))
        {
            taken.Add(page);
        }

        return taken.Count;
    }
}
