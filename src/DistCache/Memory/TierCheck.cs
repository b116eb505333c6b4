using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// Compares every list, index place, page and counter of a tier with the others, for tests. Nothing else may run. Throws an
/// <see cref="InvalidOperationException"/> that says what does not agree.
/// </summary>
internal sealed class TierCheck
{
    private readonly TierMemory _tier;
    private readonly PageMemory _memory;
    private readonly int[] _slotCounts = new int[Slot.Count];
    private readonly long[] _slotDigests = new long[Slot.Count];

    private TierCheck(TierMemory tier)
    {
        _tier = tier;
        _memory = tier.Pool.Memory;
    }

    public static void Verify(TierMemory tier)
    {
        tier.Pool.Verify(tier.FixedBytes);
        var check = new TierCheck(tier);
        foreach (var shard in tier.Shards)
        {
            check.VerifyShard(shard);
        }

        Require(check._slotCounts.AsSpan().SequenceEqual(tier.SlotCounts), "The counts by slot are not those of the entries.");
        Require(check._slotDigests.AsSpan().SequenceEqual(tier.SlotDigests), "The digests by slot are not those of the entries.");
    }

    private void VerifyShard(Shard shard)
    {
        var store = shard.Store;
        store.SettleUses();
        var listed = new HashSet<uint>();
        var counted = new ShardCounters();
        store.Lists.Verify((handle, sizeClass, segment) =>
        {
            ref var header = ref _memory.Header(handle);
            Require(listed.Add(handle), "An entry stands in two lists.");
            Require(!header.IsFree && header.Segment == segment && store.Lists.SizeClassOf(handle) == sizeClass, "An entry stands in the wrong list.");
            Require(header.IsTombstone == (segment == Segment.Tombstones), "A tombstone is among the values, or a value among them.");
            Require(store.InfoOf(handle).DueAt >= _memory.Info(_memory.PageOf(handle)).EarliestDue, "A page says that nothing in it is due so soon.");
            CountEntry(handle, sizeClass, counted, store.Index);
        });
        var indexed = new HashSet<uint>();
        store.Index.Verify(handle => Require(indexed.Add(handle), "The index names an entry twice."));
        Require(indexed.SetEquals(listed) && store.Count == listed.Count, "Index and lists do not hold the same entries.");
        Require(
            (counted.PayloadBytes, counted.Tombstones, counted.TombstoneBytes)
                == (shard.Counters.PayloadBytes, shard.Counters.Tombstones, shard.Counters.TombstoneBytes),
            "The shard's counters are not the sums over its entries.");
        VerifyPages(shard, listed);
    }

    private void CountEntry(uint handle, int sizeClass, ShardCounters counted, KeyIndex index)
    {
        ref var header = ref _memory.Header(handle);
        _slotCounts[header.Slot.Number]++;
        _slotDigests[header.Slot.Number] += (long)EntryDigest.Of(index.KeyOf(handle), header.Version, header.IsTombstone);
        counted.PayloadBytes += header.KeyLength + header.ValueLength;
        counted.Tombstones += header.IsTombstone ? 1 : 0;
        counted.TombstoneBytes += !header.IsTombstone ? 0
            : sizeClass == _tier.Classes.LargeClass ? header.TotalBytes : _tier.Classes.ChunkBytes(sizeClass);
    }

    private void VerifyPages(Shard shard, HashSet<uint> listed)
    {
        var classes = _tier.Classes;
        var (pages, freeChunks, pagesWithRoom) = (new int[classes.Count], new int[classes.Count], new int[classes.Count]);
        var (tables, entries, largeBytes) = (0, 0, 0L);
        for (var page = _memory.Geometry.FirstPage; page < _memory.PageCount; page++)
        {
            if (_memory.Info(page).Shard != shard.Number)
            {
                continue;
            }

            ref var info = ref _memory.Info(page);
            switch (info.State)
            {
                case PageState.Slab:
                    VerifySlab(page, listed);
                    entries += info.Live;
                    pages[info.SizeClass]++;
                    freeChunks[info.SizeClass] += classes.ChunksPerPage(info.SizeClass) - info.Live;
                    pagesWithRoom[info.SizeClass] += info.Live < classes.ChunksPerPage(info.SizeClass) ? 1 : 0;
                    break;
                case PageState.LargeHead:
                    Require(listed.Contains(_memory.HandleOf(page, 0)) && info.Previous == 0, "A large entry is in no list, or pinned for ever.");
                    entries++;
                    largeBytes += LargeEntries.CommittedBytes(_memory, page);
                    break;
                case PageState.Table:
                    tables++;
                    break;
                case PageState.Fresh or PageState.Free or PageState.LargeTail:
                    break;
                default:
                    throw new InvalidOperationException($"Page {page} is in state {info.State}.");
            }
        }

        for (var sizeClass = 0; sizeClass < classes.Count; sizeClass++)
        {
            shard.Store.Slabs.Verify(sizeClass, pages[sizeClass], freeChunks[sizeClass], pagesWithRoom[sizeClass]);
        }

        Require(entries == listed.Count, $"{entries} entries stand in pages, {listed.Count} in lists.");
        Require(
            shard.Store.HeldBytes == ((pages.Sum() + tables) * (long)_memory.Geometry.PageBytes) + largeBytes,
            "The bytes of a shard are not those of its pages.");
        Require(tables == shard.Store.TablePageCount, $"{tables} pages are tables, {shard.Store.TablePageCount} are counted.");
    }

    private void VerifySlab(int page, HashSet<uint> listed)
    {
        ref var info = ref _memory.Info(page);
        var (used, freed) = (info.FirstUnused / info.ChunkUnits, 0);
        for (int unit = info.FirstFreed; unit != 0; unit = (int)_memory.Header(_memory.HandleOf(page, unit - 1)).Newer)
        {
            Require(_memory.Header(_memory.HandleOf(page, unit - 1)).IsFree && ++freed <= used, "A page's list of freed chunks is torn.");
        }

        Require(used - freed == info.Live && info.Live > 0 && !info.IsLeaving, "A page's count of entries is wrong.");
        for (var unit = 0; unit < info.FirstUnused; unit += info.ChunkUnits)
        {
            var handle = _memory.HandleOf(page, unit);
            Require(_memory.Header(handle).IsFree != listed.Contains(handle), "A chunk is neither free nor an entry, or both.");
        }
    }

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidOperationException(otherwise);
        }
    }
}
