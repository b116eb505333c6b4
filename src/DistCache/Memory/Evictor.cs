namespace DistCache.Memory;

/// <summary>
/// Makes room within one shard: which class gives a page, who goes from it, what moves to where. Every removal goes through the
/// <see cref="EntryStore"/>, so nothing is half gone. Its shard's lock guards it.
/// </summary>
internal sealed class Evictor(
    TierMemory tier, EntryStore store, KeyIndex index, RecencyLists lists, Slabs slabs, EvictionPolicy policy, ShardCounters counters)
{
    /// <summary>A class gives a page to another one only if its oldest entry is older by a quarter, else pages would go to and fro.</summary>
    private const int OlderByQuarter = 4;

    private const int NoClass = -1;

    private readonly PageMemory _memory = tier.Pool.Memory;
    private readonly SizeClasses _classes = tier.Classes;
    private readonly int[] _evictionsUntilAsked = new int[tier.Classes.Count];
    private readonly long _tombstoneLimit = tier.SizeLimit / TierMemory.TombstoneShare / tier.ShardCount;

    /// <summary>The shard came to little: it gets its pages from the others.</summary>
    public bool IsPoor => store.HeldBytes < tier.FairBytes;

    /// <summary>A free chunk of the class: its own, of a new page, of its own victim, or of a page that an older class gives.</summary>
    public uint Allocate(int sizeClass)
    {
        var wasGiven = false;
        while (true)
        {
            var handle = slabs.TryAllocate(sizeClass);
            if (handle != 0)
            {
                return handle;
            }

            if (slabs.TryGrow(sizeClass))
            {
                continue;
            }

            if (IsPoor)
            {
                return 0;
            }

            if (lists.ValueCount(sizeClass) == 0)
            {
                if (!TryGivePage(spared: sizeClass) && !TryGivePage())
                {
                    return 0;
                }

                continue;
            }

            // Another shard may be quicker to take the page, or a reader hold it: then it is the class's own turn, and the lock is not held for a second page.
            var giver = wasGiven ? NoClass : OlderClass(sizeClass);
            if (giver >= 0)
            {
                GivePageOf(giver);
                wasGiven = true;
            }
            else
            {
                store.Departures.Evict(policy.ChooseVictim(sizeClass));
            }
        }
    }

    /// <summary>
    /// Gives a page, or a large entry's pages, to the pool: of a class with so much free room that nothing must go for it, else of the
    /// class whose eldest value is the oldest. False if there is nothing to give.
    /// </summary>
    public bool TryGivePage() => TryGivePage(NoClass);

    /// <summary>Frees one page that holds few entries by moving those to other pages of their class; false if none is worth it.</summary>
    public bool TryCompact()
    {
        store.SettleUses();
        for (var sizeClass = 0; sizeClass < _classes.Count; sizeClass++)
        {
            if (slabs.FreeChunks(sizeClass) >= 2 * _classes.ChunksPerPage(sizeClass))
            {
                EmptyPage(sizeClass, slabs.SparsestPage(sizeClass));
                return true;
            }
        }

        return false;
    }

    public void DropTombstonesOverLimit()
    {
        while (counters.TombstoneBytes > _tombstoneLimit)
        {
            DropTombstone(OldestTombstone());
        }
    }

    public void KeepEntryLimit(int sizeClass, bool replaces)
    {
        while (tier.EntryCount >= tier.EntryLimit && !replaces)
        {
            var victim = policy.ChooseVictim(lists.ValueCount(sizeClass) > 0 ? sizeClass : Math.Max(0, AnyClassWithValues()));
            if (victim == 0)
            {
                return;
            }

            store.Departures.Evict(victim);
        }
    }

    /// <summary>Removes up to <paramref name="most"/> entries, whichever; how many.</summary>
    public int RemoveSome(int most)
    {
        store.SettleUses();
        var removed = 0;
        for (; removed < most && store.Count > 0; removed++)
        {
            var oldest = AnyClassWithValues();
            store.Remove(oldest >= 0 ? policy.Eldest(oldest) : OldestTombstone());
        }

        return removed;
    }

    /// <summary>As <see cref="TryGivePage()"/>, with one class that gives nothing.</summary>
    private bool TryGivePage(int spared)
    {
        store.SettleUses();
        var oldest = OldestClass(spared, out var spare);
        if (spare >= 0)
        {
            EmptyPage(spare, slabs.SparsestPage(spare));
            return true;
        }

        if (oldest < 0)
        {
            return TryGivePageOfTombstones();
        }

        GivePageOf(oldest);
        return true;
    }

    /// <summary>
    /// The class that is to give the other one a page: one with room to spare, else the oldest of those that are clearly older and
    /// worth less. Where there is none, that is asked again after a page's worth of evictions.
    /// </summary>
    private int OlderClass(int sizeClass)
    {
        if (_evictionsUntilAsked[sizeClass] > 0)
        {
            _evictionsUntilAsked[sizeClass]--;
            return NoClass;
        }

        var taker = policy.Pushed(sizeClass);
        var (giver, age) = (NoClass, store.AgeOf(taker) + (store.AgeOf(taker) / OlderByQuarter));
        for (var other = 0; other <= _classes.LargeClass; other++)
        {
            if (other < _classes.LargeClass && slabs.HasPageToSpare(other))
            {
                return other;
            }

            var eldest = other == sizeClass ? 0 : policy.Eldest(other);
            if (eldest != 0 && store.AgeOf(eldest) > age && policy.IsWorthLess(eldest, taker))
            {
                (giver, age) = (other, store.AgeOf(eldest));
            }
        }

        _evictionsUntilAsked[sizeClass] = giver == NoClass ? _classes.ChunksPerPage(sizeClass) - 1 : 0;
        return giver;
    }

    private void GivePageOf(int sizeClass)
    {
        if (sizeClass < _classes.LargeClass && slabs.HasPageToSpare(sizeClass))
        {
            EmptyPage(sizeClass, slabs.SparsestPage(sizeClass));
        }
        else if (sizeClass == _classes.LargeClass)
        {
            store.Departures.Evict(policy.Eldest(sizeClass));
        }
        else
        {
            EmptyPage(sizeClass, _memory.PageOf(policy.Eldest(sizeClass)));
        }
    }

    private int OldestClass(int spared, out int spare)
    {
        var oldest = NoClass;
        var oldestAge = 0u;
        spare = NoClass;
        for (var sizeClass = 0; sizeClass <= _classes.LargeClass; sizeClass++)
        {
            if (sizeClass < _classes.LargeClass && slabs.HasPageToSpare(sizeClass))
            {
                spare = sizeClass;
                return oldest;
            }

            var eldest = sizeClass == spared ? 0 : policy.Eldest(sizeClass);
            if (eldest != 0 && (oldest < 0 || store.AgeOf(eldest) > oldestAge))
            {
                oldest = sizeClass;
                oldestAge = store.AgeOf(eldest);
            }
        }

        return oldest;
    }

    private int AnyClassWithValues()
    {
        var sizeClass = _classes.LargeClass;
        while (sizeClass >= 0 && policy.Eldest(sizeClass) == 0)
        {
            sizeClass--;
        }

        return sizeClass;
    }

    /// <summary>Evicts as much of the class as the page holds, and moves what is left in it to the room that this made.</summary>
    private void EmptyPage(int sizeClass, int page)
    {
        slabs.StartLeaving(page);
        while (slabs.FreeChunks(sizeClass) < _memory.Info(page).Live)
        {
            var pages = slabs.PageCount;
            var victim = policy.ChooseVictim(sizeClass);
            if (victim != 0)
            {
                store.Departures.Evict(victim);
            }
            else
            {
                DropTombstone(lists.Oldest(sizeClass, Segment.Tombstones));
            }

            if (slabs.PageCount < pages)
            {
                // Another page of the class is empty now and has gone: that is a page as well.
                slabs.StopLeaving(page);
                return;
            }
        }

        ref var info = ref _memory.Info(page);
        for (var unit = info.FirstUnused - info.ChunkUnits; unit >= 0; unit -= info.ChunkUnits)
        {
            var handle = _memory.HandleOf(page, unit);
            if (!_memory.Header(handle).IsFree)
            {
                Move(handle, sizeClass);
            }
        }

        slabs.GivePage(page);
    }

    private void Move(uint source, int sizeClass)
    {
        var target = slabs.TryAllocate(sizeClass);
        _memory.Chunk(source)[.._memory.Header(source).TotalBytes].CopyTo(_memory.Chunk(target));
        lists.Relocate(target, sizeClass);
        index.Replace(index.HashOf(target), source, target);
        ref var info = ref _memory.Info(_memory.PageOf(target));
        info.EarliestDue = Math.Min(info.EarliestDue, _memory.Info(_memory.PageOf(source)).EarliestDue);
        slabs.Free(source);
    }

    private bool TryGivePageOfTombstones()
    {
        var oldest = OldestTombstone();
        if (oldest == 0)
        {
            return false;
        }

        if (store.IsLarge(oldest))
        {
            DropTombstone(oldest);
            return true;
        }

        EmptyPage(lists.SizeClassOf(oldest), _memory.PageOf(oldest));
        return true;
    }

    private uint OldestTombstone()
    {
        var oldest = 0u;
        for (var sizeClass = 0; sizeClass <= _classes.LargeClass; sizeClass++)
        {
            var handle = lists.Oldest(sizeClass, Segment.Tombstones);
            if (handle != 0 && (oldest == 0 || store.AgeOf(handle) > store.AgeOf(oldest)))
            {
                oldest = handle;
            }
        }

        return oldest;
    }

    private void DropTombstone(uint handle)
    {
        ref var header = ref _memory.Header(handle);
        counters.TombstonesDropped += tier.TombstoneLifetime > 0 && tier.IsConfirmed(header.Slot, header.Clock) ? 0 : 1;
        store.Remove(handle);
    }
}
