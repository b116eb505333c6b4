namespace DistCache.Memory;

/// <summary>Removes what is expired in one page. Its shard's lock guards it.</summary>
internal sealed class PageSweep(EntryStore store, PageMemory memory, int shard)
{
    /// <summary>Entries that are removed under one hold of the lock.</summary>
    private const int Batch = 32;

    /// <summary>Removes some, if the page is due by <paramref name="until"/>; true if there may be more of them.</summary>
    public bool Sweep(int page, long now, long until)
    {
        ref var info = ref memory.Info(page);

        // It may be another shard's by now; if not, it stays this one's as long as the lock is held.
        if (info.IsUsed(PageState.Slab, shard))
        {
            return info.EarliestDue <= until && SweepSlab(page, now);
        }

        if (info.IsUsed(PageState.LargeHead, shard) && info.EarliestDue <= until)
        {
            SweepLarge(memory.HandleOf(page, 0), now);
        }

        return false;
    }

    private bool SweepSlab(int page, long now)
    {
        ref var info = ref memory.Info(page);
        var earliest = long.MaxValue;
        var removed = 0;
        for (var unit = 0; unit < info.FirstUnused; unit += info.ChunkUnits)
        {
            var handle = memory.HandleOf(page, unit);
            ref var header = ref memory.Header(handle);
            if (header.IsFree || !header.Expires)
            {
                continue;
            }

            var isLast = info.Live == 1;
            if (!store.Departures.ExpireIfDue(handle, now))
            {
                earliest = Math.Min(earliest, store.Departures.LookedAtAgain(handle, now));
                continue;
            }

            if (isLast)
            {
                // The page has gone to the pool, and may be another shard's already.
                return false;
            }

            if (++removed == Batch)
            {
                return true;
            }
        }

        info.EarliestDue = earliest;
        return false;
    }

    private void SweepLarge(uint handle, long now)
    {
        ref var info = ref memory.Info(memory.PageOf(handle));
        if (!info.IsLeaving && !store.Departures.ExpireIfDue(handle, now))
        {
            info.EarliestDue = store.Departures.LookedAtAgain(handle, now);
        }
    }
}
