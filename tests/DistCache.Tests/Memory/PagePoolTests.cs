using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>One budget, whichever kind of pages it is used for.</summary>
internal sealed class PagePoolTests
{
    private const int LargeBytes = 36 << 10;

    /// <summary>Large entries that leave much of each page uncommitted need most of the addresses, and small ones need them back.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void Budget_UsedForOneKindOfPages_IsThereForTheOther(bool isLarge)
    {
        // Below what is committed in huge blocks, ahead of need.
        const long limit = 255L << 20;
        var geometry = new PageGeometry(limit);
        if (geometry.PageBytes / geometry.GranuleBytes < 2)
        {
            Assert.Ignore("Pages are committed whole where the system's are as large.");
        }

        using var pool = new PagePool(new PageMemory(geometry), limit, 0);
        for (var round = 0; round < 4; round++, isLarge = !isLarge)
        {
            var taken = new List<int>();
            while (isLarge
                ? pool.TryTakeLarge(LargeBytes, PageState.LargeTail, 0, out var page)
                : pool.TryTake(PageState.Slab, 0, out page))
            {
                taken.Add(page);
            }

            Assert.That(taken, Is.Unique);
            var bytes = taken.Count * (long)(isLarge ? LargeBytes : geometry.PageBytes);
            var infos = (long)geometry.MaximumRegions * geometry.RegionInfoBytes;
            Assert.That(bytes, Is.InRange(limit - infos - geometry.PageBytes, limit), $"round {round}");
            pool.Verify(0);
            taken.ForEach(pool.Give);
            pool.Verify(0);
        }
    }
}
