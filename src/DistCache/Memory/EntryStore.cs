using System.Buffers;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// A shard's entries: where each stands, in which order they were used, and who goes when room is needed. Knows nothing of versions. Its
/// shard's lock guards it. What does not fit now is refused and leaves everything as it was, so that the caller can have room made in
/// another shard and come again.
/// </summary>
internal sealed class EntryStore
{
    /// <summary>Uses per step of the clock that ages are told by, as a power of two: it wraps after 2^38 uses.</summary>
    private const int UsesPerTickShift = 6;

    /// <summary>Fewer do not push anybody out to make room for their counters.</summary>
    private const int EntriesWorthCounting = 64;

    /// <summary>Of an insertion: each fails only if making room for it took away what the index had kept free for it.</summary>
    private const int MaximumAttempts = 8;

    private readonly TierMemory _tier;
    private readonly PageMemory _memory;
    private readonly SizeClasses _classes;
    private readonly KeyIndex _index;
    private readonly RecencyLists _lists;
    private readonly Slabs _slabs;
    private readonly EvictionPolicy _policy;
    private readonly ShardCounters _counters;
    private readonly Evictor _evictor;
    private readonly UseNotes _notes;
    private readonly int _shard;
    private long _uses;
    private long _largeBytes;

    public EntryStore(TierMemory tier, int shard, int baseBuckets, Eviction eviction, ShardCounters counters, UseNotes notes)
    {
        _tier = tier;
        _memory = tier.Pool.Memory;
        _classes = tier.Classes;
        _counters = counters;
        _notes = notes;
        _shard = shard;
        _index = new KeyIndex(tier.Pool, shard, tier.Hash, baseBuckets);
        _lists = new RecencyLists(_memory, _classes);
        _slabs = new Slabs(tier.Pool, _classes, shard);
        _policy = eviction == Eviction.Lru
            ? new LruPolicy(_lists)
            : new TinyLfuPolicy(_lists, new FrequencySketch(tier.Pool, shard), _index, tier.Climber);
        Departures = new Departures(tier, this, counters);
        _evictor = new Evictor(tier, this, _index, _lists, _slabs, _policy, counters);
    }

    public int Count => _index.Count;

    public KeyIndex Index => _index;

    public RecencyLists Lists => _lists;

    public Slabs Slabs => _slabs;

    /// <summary>Where entries go whose time is over, or that have to make room.</summary>
    public Departures Departures { get; }

    /// <summary>Makes room.</summary>
    public Evictor Evictor => _evictor;

    /// <summary>The tables are smaller than they should be, for lack of a page.</summary>
    public bool WantsPage { get; private set; }

    /// <summary>What the shard holds of the budget, as other shards may see it without the lock.</summary>
    public long HeldBytes => ((long)(_slabs.PageCount + TablePageCount) * _memory.Geometry.PageBytes) + Volatile.Read(ref _largeBytes);

    /// <summary>Pages of the index and of the policy's tables.</summary>
    public int TablePageCount => _index.PageCount + _policy.PageCount;

    public uint Find(ulong keyHash, ReadOnlySpan<byte> key) => _index.Find(keyHash, key);

    public bool IsLarge(uint handle) => _lists.SizeClassOf(handle) == _classes.LargeClass;

    public EntryInfo InfoOf(uint handle)
    {
        var info = _memory.Header(handle).Shape.InfoIn(_memory.Chunk(handle));
        return info.IsTombstone && info.Expiration.AbsoluteAt < _tier.TombstonesStayUntil
            ? info with { Expiration = new Expiration(_tier.TombstonesStayUntil, 0) }
            : info;
    }

    /// <summary>Counts as a use; moves the last access forward.</summary>
    public void Use(uint handle, long lastAccess)
    {
        ref var header = ref _memory.Header(handle);
        if (header.HasWindow)
        {
            StoredExpiration.Renew(_memory.Chunk(handle), header, lastAccess);
        }

        if (!header.IsTombstone)
        {
            SettleUses();
            SettleUse(handle, _lists.SizeClassOf(handle));
        }
    }

    /// <summary>Writes an entry of at most half a page in the place of <paramref name="held"/>, or as a new one if that is 0.</summary>
    public bool TryPut(ulong keyHash, ReadOnlySpan<byte> key, Slot slot, in EntryInfo info, in ReadOnlySequence<byte> value, uint held)
    {
        SettleUses();
        var header = new EntryHeader(info, key.Length, (int)value.Length, slot);
        var sizeClass = _classes.ClassOf(header.TotalBytes);
        if (held != 0 && _lists.SizeClassOf(held) == sizeClass)
        {
            Overwrite(held, keyHash, sizeClass, header, info, key, value);
            return true;
        }

        _evictor.KeepEntryLimit(sizeClass, held != 0);
        for (var attempt = 0; attempt < MaximumAttempts; attempt++)
        {
            // The index first: once a chunk is taken and not linked yet, no page may be emptied under it.
            if (!_index.TryReserve(keyHash))
            {
                if (_evictor.IsPoor || !_evictor.TryGivePage())
                {
                    return false;
                }

                continue;
            }

            var target = _evictor.Allocate(sizeClass);
            if (target == 0)
            {
                return false;
            }

            _memory.Header(target) = header;
            WriteChunk(target, info, key, value);
            if (TryLink(target, sizeClass, keyHash, slot, key))
            {
                Grow();
                return true;
            }

            _slabs.Free(target);
        }

        return false;
    }

    /// <summary>Takes over a chain that holds a whole entry; false if the index has no room for it now.</summary>
    public bool TryLinkLarge(ulong keyHash, ReadOnlySpan<byte> key, Slot slot, int head, long committedBytes)
    {
        SettleUses();
        _evictor.KeepEntryLimit(_classes.LargeClass, Find(keyHash, key) != 0);
        while (!TryLink(_memory.HandleOf(head, 0), _classes.LargeClass, keyHash, slot, key))
        {
            if (_evictor.IsPoor || !_evictor.TryGivePage())
            {
                return false;
            }
        }

        _largeBytes += committedBytes;
        Grow();
        return true;
    }

    /// <summary>
    /// More entries want more buckets and counters. Where the pool has no page for that they have fewer for now, and whoever holds most is to
    /// give one (<see cref="WantsPage"/>): if it were always this shard, one that came late would never have more entries than its first
    /// tables are for.
    /// </summary>
    public void Grow()
    {
        var hasBuckets = _index.TryGrow();
        var hasCounters = _policy.TryResize(_index.Count);
        WantsPage = !hasBuckets || (!hasCounters && _index.Count >= EntriesWorthCounting);
    }

    public void Remove(uint handle)
    {
        SettleUses();
        _index.Remove(_index.HashOf(handle), handle);
        Unlink(handle);
        if (_index.Count == 0)
        {
            _policy.TryResize(0);
        }
    }

    /// <summary>
    /// Puts the reads of late into the order of use, before anybody looks at that: so it is exact all the same, and the memory that the
    /// links stand in is fetched for all of them at once.
    /// </summary>
    public void SettleUses()
    {
        for (var stripe = 0; stripe < UseNotes.Stripes; stripe++)
        {
            if (!_notes.IsEmpty(stripe))
            {
                SettleUses(stripe);
            }
        }
    }

    /// <summary>The same with those of one stripe.</summary>
    public void SettleUses(int stripe)
    {
        Span<uint> handles = stackalloc uint[UseNotes.Capacity];
        handles = handles[.._notes.Take(stripe, handles)];
        foreach (var handle in handles)
        {
            _memory.PrefetchInfo(handle);
        }

        foreach (var handle in handles)
        {
            ref var info = ref _memory.Info(_memory.PageOf(handle));
            if (handle != 0 && IsHeldValue(handle, info))
            {
                SettleUse(handle, info.SizeClass);
            }
        }
    }

    private void SettleUse(uint handle, int sizeClass)
    {
        ref var header = ref _memory.Header(handle);
        var usedAt = (uint)(_uses++ >> UsesPerTickShift);
        if (header.UsedAt != usedAt)
        {
            // Else the line stays clean: of the most popular entries it is in use by all processors.
            header.UsedAt = usedAt;
        }

        _policy.Used(handle, sizeClass);
    }

    /// <summary>What a note names may have gone, moved or been removed since; then it may name another entry, which is no harm, or none.</summary>
    private bool IsHeldValue(uint handle, in PageInfo info)
    {
        var unit = (uint)_memory.UnitOf(handle);
        return info.IsUsed(PageState.Slab, _shard)
            && unit < info.FirstUnused
            && unit % info.ChunkUnits == 0
            && _memory.Header(handle).Shape is { IsFree: false, IsTombstone: false };
    }

    private void Overwrite(
        uint handle, ulong keyHash, int sizeClass, in EntryHeader replacement, in EntryInfo info, ReadOnlySpan<byte> key, in ReadOnlySequence<byte> value)
    {
        ref var header = ref _memory.Header(handle);
        Tally(handle, sizeClass, -1);
        var wasTombstone = header.IsTombstone;
        var (newer, older, segment) = (header.Newer, header.Older, header.Segment);
        header = replacement;
        (header.Newer, header.Older, header.Segment) = (newer, older, segment);
        WriteChunk(handle, info, key, value);
        Tally(handle, sizeClass, 1);
        NoteDue(handle);
        if (wasTombstone == replacement.IsTombstone && !wasTombstone)
        {
            header.UsedAt = (uint)(_uses++ >> UsesPerTickShift);
            _policy.Used(handle, sizeClass);
            return;
        }

        _lists.Remove(handle, sizeClass);
        AddToList(handle, sizeClass, keyHash);
    }

    private void WriteChunk(uint handle, in EntryInfo info, ReadOnlySpan<byte> key, in ReadOnlySequence<byte> value)
    {
        ref var header = ref _memory.Header(handle);
        var chunk = _memory.Chunk(handle);
        StoredExpiration.Write(chunk, info);
        key.CopyTo(chunk[header.KeyOffset..]);
        value.CopyTo(chunk[header.ValueOffset..]);
    }

    /// <summary>Puts a written entry into index and lists, in the place of the one of the same key if there is one.</summary>
    private bool TryLink(uint handle, int sizeClass, ulong keyHash, Slot slot, ReadOnlySpan<byte> key)
    {
        // Looked up again: making room may have evicted or moved it.
        var held = Find(keyHash, key);
        if (held != 0)
        {
            _index.Replace(keyHash, held, handle);
            Unlink(held);
        }
        else if (!_index.TryInsert(keyHash, slot, handle))
        {
            return false;
        }

        Tally(handle, sizeClass, 1);
        NoteDue(handle);
        AddToList(handle, sizeClass, keyHash);
        return true;
    }

    private void NoteDue(uint handle)
    {
        if (_memory.Header(handle).Expires)
        {
            ref var info = ref _memory.Info(_memory.PageOf(handle));
            info.EarliestDue = Math.Min(info.EarliestDue, Departures.LookedAtAgain(handle, now: 0));
        }
    }

    private void AddToList(uint handle, int sizeClass, ulong keyHash)
    {
        ref var header = ref _memory.Header(handle);
        header.UsedAt = (uint)(_uses++ >> UsesPerTickShift);
        if (!header.IsTombstone)
        {
            _policy.Added(handle, sizeClass, keyHash);
            return;
        }

        _lists.AddNewest(handle, sizeClass, Segment.Tombstones);
        _evictor.DropTombstonesOverLimit();
    }

    /// <summary>Out of lists and counters; its memory is free, or will be when its last reader is done.</summary>
    private void Unlink(uint handle)
    {
        var sizeClass = _lists.SizeClassOf(handle);
        Tally(handle, sizeClass, -1);
        _lists.Remove(handle, sizeClass);
        if (sizeClass != _classes.LargeClass)
        {
            _slabs.Free(handle);
            return;
        }

        var head = _memory.PageOf(handle);
        _largeBytes -= LargeEntries.CommittedBytes(_memory, head);
        ref var info = ref _memory.Info(head);
        if (info.Previous > 0)
        {
            info.IsLeaving = true;
            return;
        }

        LargeEntries.Free(_tier.Pool, head);
    }

    private void Tally(uint handle, int sizeClass, int sign)
    {
        ref var header = ref _memory.Header(handle);
        _tier.CountEntries(sign);
        Interlocked.Add(ref _tier.SlotCounts[header.Slot.Number], sign);
        Interlocked.Add(ref _tier.SlotDigests[header.Slot.Number], sign * (long)EntryDigest.Of(_index.KeyOf(handle), header.Version, header.IsTombstone));
        _counters.PayloadBytes += sign * (long)(header.KeyLength + header.ValueLength);
        if (header.IsTombstone)
        {
            _counters.Tombstones += sign;
            _counters.TombstoneBytes += sign * (long)(sizeClass == _classes.LargeClass ? header.TotalBytes : _classes.ChunkBytes(sizeClass));
        }
    }

    public uint AgeOf(uint handle) => (uint)(_uses >> UsesPerTickShift) - _memory.Header(handle).UsedAt;
}
