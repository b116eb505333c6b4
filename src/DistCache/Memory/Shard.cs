using System.Buffers;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// A part of the tier with its own lock, entries and counts: the rules of versions and time. The lock is held for one look-up and
/// the copy of at most half a page, at worst for emptying one page; no thread ever holds two of them. Large values are copied
/// without it, pinned.
/// </summary>
internal sealed class Shard
{
    /// <summary>Expired entries that a sweep removes under one hold of the lock.</summary>
    private const int SweepBatch = 32;

    /// <summary>Buckets that a visit looks through under one hold of the lock.</summary>
    private const int VisitBatch = 8;

    private readonly Lock _lock = new();
    private readonly PageMemory _memory;
    private readonly EntryStore _store;
    private readonly ShardCounters _counters = new();
    private bool _isClosed;

    public Shard(TierMemory tier, int number, int baseBuckets, Eviction eviction)
    {
        Number = number;
        _memory = tier.Pool.Memory;
        _store = new EntryStore(tier, number, baseBuckets, eviction, _counters);
    }

    public int Number { get; }

    /// <summary>For checks in tests, which run alone.</summary>
    public EntryStore Store => _store;

    public ShardCounters Counters => _counters;

    /// <summary>What the shard holds of the budget, as of late.</summary>
    public long HeldBytes => _store.HeldBytes;

    public MemoryStatistics AddTo(in MemoryStatistics sum)
    {
        lock (_lock)
        {
            return _counters.AddTo(sum, _store.Count);
        }
    }

    public LookupOutcome Read(
        ulong keyHash, ReadOnlySpan<byte> key, Span<byte> destination, bool renew, long now, out EntryInfo info, out int valueLength)
    {
        uint pinned;
        int offset;
        LookupOutcome outcome;
        lock (_lock)
        {
            outcome = ReadLocked(keyHash, key, destination, renew, now, out info, out valueLength, out pinned, out offset);
        }

        if (pinned != 0)
        {
            LargeEntries.CopyTo(_memory, _memory.PageOf(pinned), offset, destination[..valueLength]);
            Unpin(pinned);
        }

        return outcome;
    }

    /// <summary>False if there is no room now: make some, and call again.</summary>
    public bool TryApply(
        ulong keyHash, ReadOnlySpan<byte> key, Slot slot, in EntryInfo info, in ReadOnlySequence<byte> value, long now,
        out ApplyOutcome outcome, out EntryVersion held)
    {
        lock (_lock)
        {
            if (IsSupersededLocked(keyHash, key, info, now, out var handle, out outcome, out held))
            {
                return true;
            }

            held = info.Version;
            if (!_store.TryPut(keyHash, key, slot, info, value, handle))
            {
                return false;
            }

            _store.LeaveTombstones(now);
            return true;
        }
    }

    /// <summary>True if that version, or a higher one, is held already: nothing is to be done.</summary>
    public bool IsSuperseded(ulong keyHash, ReadOnlySpan<byte> key, in EntryInfo info, long now, out ApplyOutcome outcome, out EntryVersion held)
    {
        lock (_lock)
        {
            return IsSupersededLocked(keyHash, key, info, now, out _, out outcome, out held);
        }
    }

    /// <summary>As <see cref="TryApply"/>, with an entry that stands in pages of its own. They are the shard's if the outcome is Applied under the version of <paramref name="info"/> and <paramref name="linked"/>.</summary>
    public bool TryApplyLarge(
        ulong keyHash, ReadOnlySpan<byte> key, Slot slot, in EntryInfo info, in PageChain chain, long now,
        out ApplyOutcome outcome, out EntryVersion held, out bool linked)
    {
        lock (_lock)
        {
            linked = false;
            if (IsSupersededLocked(keyHash, key, info, now, out _, out outcome, out held))
            {
                return true;
            }

            held = info.Version;
            linked = _store.TryLinkLarge(keyHash, key, slot, chain.Head, LargeEntries.CommittedBytes(_memory, chain.Head));
            if (linked)
            {
                _store.LeaveTombstones(now);
            }

            return linked;
        }
    }

    /// <summary>Removes the entry if it is a large one that <paramref name="version"/> supersedes.</summary>
    public bool TryDropLarge(ulong keyHash, ReadOnlySpan<byte> key, EntryVersion version)
    {
        lock (_lock)
        {
            ThrowIfClosedLocked();
            var handle = _store.Find(keyHash, key);
            if (handle == 0 || !_store.IsLarge(handle) || _memory.Header(handle).Version >= version)
            {
                return false;
            }

            _store.Remove(handle);
            return true;
        }
    }

    public bool Renew(ulong keyHash, ReadOnlySpan<byte> key, EntryVersion version, long lastAccess, long now)
    {
        lock (_lock)
        {
            var handle = FindLiveLocked(keyHash, key, now);
            if (handle == 0 || _memory.Header(handle).Version != version)
            {
                return false;
            }

            _store.Use(handle, keyHash, lastAccess);
            return true;
        }
    }

    public bool Forget(ulong keyHash, ReadOnlySpan<byte> key, EntryVersion version)
    {
        lock (_lock)
        {
            ThrowIfClosedLocked();
            var handle = _store.Find(keyHash, key);
            if (handle == 0 || _memory.Header(handle).Version != version)
            {
                return false;
            }

            _store.Remove(handle);
            return true;
        }
    }

    /// <summary>
    /// Shows what stands from <paramref name="position"/> of <paramref name="baseBucket"/> on; false where the visitor has no more room, and
    /// then they are those of the entry that it refused.
    /// </summary>
    public bool Visit(SlotSet slots, ref int baseBucket, ref ulong position, IEntryVisitor visitor, long now)
    {
        var found = new List<(ulong Position, uint Handle)>();
        while (baseBucket < _store.Index.BaseBuckets)
        {
            uint pinned;
            EntryInfo info;
            lock (_lock)
            {
                ThrowIfClosedLocked();
                if (!VisitLocked(slots, ref baseBucket, ref position, visitor, now, found, out pinned, out info))
                {
                    return false;
                }
            }

            if (pinned == 0)
            {
                continue;
            }

            if (!ShowPinned(pinned, info, visitor))
            {
                return false;
            }

            Advance(ref baseBucket, ref position, position + 1);
        }

        return true;
    }

    /// <summary>Removes some of what is expired in one page; true if there may be more of it.</summary>
    public bool SweepPage(int page, long now)
    {
        lock (_lock)
        {
            ref var info = ref _memory.Info(page);
            if (_isClosed || info.Shard != Number || info.State is not (PageState.Slab or PageState.LargeHead) || info.EarliestDue > now)
            {
                return false;
            }

            var isMore = info.State == PageState.Slab ? SweepSlabLocked(page, now) : SweepLargeLocked(_memory.HandleOf(page, 0), now);
            _store.LeaveTombstones(now);
            return isMore;
        }
    }

    /// <summary>What was evicted for other shards' sake may have left some unwritten.</summary>
    public void LeaveTombstones(long now)
    {
        lock (_lock)
        {
            if (!_isClosed)
            {
                _store.LeaveTombstones(now);
            }
        }
    }

    /// <summary>Empties one sparse page; true if there may be more of them.</summary>
    public bool TryCompact()
    {
        lock (_lock)
        {
            return !_isClosed && _store.Evictor.TryCompact();
        }
    }

    /// <summary>Gives a page to the pool, and evicts for it what must go; false if there is nothing.</summary>
    public bool TryGivePage()
    {
        lock (_lock)
        {
            ThrowIfClosedLocked();
            return _store.Evictor.TryGivePage();
        }
    }

    /// <summary>Removes up to <paramref name="most"/> entries, whichever; how many.</summary>
    public int RemoveSome(int most)
    {
        lock (_lock)
        {
            ThrowIfClosedLocked();
            return _store.Evictor.RemoveSome(most);
        }
    }

    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _store.Count;
            }
        }
    }

    /// <summary>From now on every operation throws, and none is under way: the memory may go.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _isClosed = true;
        }
    }

    private static void Advance(ref int baseBucket, ref ulong position, ulong next)
    {
        (baseBucket, position) = next > uint.MaxValue ? (baseBucket + 1, 0) : (baseBucket, next);
    }

    private LookupOutcome ReadLocked(
        ulong keyHash, ReadOnlySpan<byte> key, Span<byte> destination, bool renew, long now,
        out EntryInfo info, out int valueLength, out uint pinned, out int offset)
    {
        (info, valueLength, pinned, offset) = (default, 0, 0, 0);
        var handle = FindLiveLocked(keyHash, key, now);
        if (handle == 0)
        {
            _counters.Misses++;
            return LookupOutcome.Miss;
        }

        ref var header = ref _memory.Header(handle);
        if (header.IsTombstone)
        {
            _counters.Misses++;
            info = _store.InfoOf(handle);
            return LookupOutcome.Tombstone;
        }

        valueLength = header.ValueLength;
        offset = header.ValueOffset;
        var fits = valueLength <= destination.Length;
        if (fits && _store.IsLarge(handle))
        {
            PinLocked(handle);
            pinned = handle;
        }
        else if (fits)
        {
            _memory.Chunk(handle).Slice(offset, valueLength).CopyTo(destination);
        }

        // As it was before this use: whoever tells others of uses goes by that.
        info = _store.InfoOf(handle);
        if (renew)
        {
            _store.Use(handle, keyHash, now);
        }

        _counters.Hits += fits ? 1 : 0;
        return fits ? LookupOutcome.Hit : LookupOutcome.TooSmall;
    }

    /// <summary>
    /// That version, or a higher one, is held. Of two copies of a version with a window the one that was used later counts: it may have
    /// expired here because its uses were not told.
    /// </summary>
    private bool IsSupersededLocked(
        ulong keyHash, ReadOnlySpan<byte> key, in EntryInfo info, long now, out uint handle, out ApplyOutcome outcome, out EntryVersion held)
    {
        handle = FindLiveLocked(keyHash, key, now);
        held = handle == 0 ? default : _memory.Header(handle).Version;
        outcome = handle != 0 && held > info.Version ? ApplyOutcome.Older : ApplyOutcome.Applied;
        if (handle == 0 || held < info.Version)
        {
            return false;
        }

        if (held > info.Version || info.Expiration.Window == 0)
        {
            return true;
        }

        if (_memory.Header(handle).IsTombstone)
        {
            return info.IsTombstone;
        }

        _store.Use(handle, keyHash, info.LastAccess);
        return true;
    }

    /// <summary>The entry, unless it is expired: then it goes, and what it leaves is found instead.</summary>
    private uint FindLiveLocked(ulong keyHash, ReadOnlySpan<byte> key, long now)
    {
        ThrowIfClosedLocked();
        var handle = _store.Find(keyHash, key);
        if (handle == 0 || !ExpireIfDueLocked(handle, now))
        {
            return handle;
        }

        _store.LeaveTombstones(now);
        return _store.Find(keyHash, key);
    }

    private bool ExpireIfDueLocked(uint handle, long now)
    {
        if (!_store.IsDue(handle, now))
        {
            return false;
        }

        _counters.Expired++;
        _store.Depart(handle);
        return true;
    }

    /// <summary>Looks through a few buckets; ends early, with the entry pinned, at a large one.</summary>
    private bool VisitLocked(
        SlotSet slots, ref int baseBucket, ref ulong position, IEntryVisitor visitor, long now,
        List<(ulong Position, uint Handle)> found, out uint pinned, out EntryInfo info)
    {
        (pinned, info) = (0, default);
        for (var i = 0; i < VisitBatch && baseBucket < _store.Index.BaseBuckets; i++)
        {
            var bucket = _store.Index.BucketAt(baseBucket, (uint)position, out var end);
            if (!FindInBucketLocked(bucket, slots, position, now, found))
            {
                // What was due is gone, or is a tombstone in its place: the others may stand elsewhere now.
                i--;
                continue;
            }

            foreach (var (at, handle) in found)
            {
                position = at;
                info = _store.InfoOf(handle);
                if (_store.IsLarge(handle))
                {
                    PinLocked(handle);
                    pinned = handle;
                    return true;
                }

                var value = _memory.Chunk(handle).Slice(_memory.Header(handle).ValueOffset, _memory.Header(handle).ValueLength);
                if (!visitor.Visit(_store.Index.KeyOf(handle), info, new StoredValue(value)))
                {
                    return false;
                }
            }

            Advance(ref baseBucket, ref position, end);
        }

        return true;
    }

    /// <summary>A bucket's entries of the slots from the position on, in the order of their positions; false if one was due, and has gone.</summary>
    private bool FindInBucketLocked(int bucket, SlotSet slots, ulong position, long now, List<(ulong Position, uint Handle)> found)
    {
        var due = 0u;
        found.Clear();
        Span<uint> handles = stackalloc uint[Bucket.Capacity];
        var reader = _store.Index.Read(bucket);
        while (reader.Next(slots, handles, out var count))
        {
            foreach (var handle in handles[..count])
            {
                var at = (ulong)KeyIndex.PositionOf(_store.Index.HashOf(handle));
                if (at >= position && slots.Contains(_memory.Header(handle).Slot))
                {
                    found.Add((at, handle));
                    due = _store.IsDue(handle, now) ? handle : due;
                }
            }
        }

        if (due != 0)
        {
            ExpireIfDueLocked(due, now);
            _store.LeaveTombstones(now);
            return false;
        }

        found.Sort(static (left, right) => left.Position.CompareTo(right.Position));
        return true;
    }

    private bool ShowPinned(uint handle, in EntryInfo info, IEntryVisitor visitor)
    {
        try
        {
            ref var header = ref _memory.Header(handle);
            var value = new StoredValue(_memory, _memory.PageOf(handle), header.ValueOffset, header.ValueLength);
            return visitor.Visit(_store.Index.KeyOf(handle), info, value);
        }
        finally
        {
            Unpin(handle);
        }
    }

    /// <summary>The entry's pages stay, whatever becomes of the entry or the tier, until <see cref="Unpin"/>.</summary>
    private void PinLocked(uint handle)
    {
        var added = false;
        _memory.Handle.DangerousAddRef(ref added);
        _memory.Info(_memory.PageOf(handle)).Previous++;
    }

    private void Unpin(uint handle)
    {
        var head = _memory.PageOf(handle);
        lock (_lock)
        {
            ref var info = ref _memory.Info(head);
            info.Previous--;
            if (info.Previous == 0 && info.IsLeaving)
            {
                _store.FreeLarge(head);
            }
        }

        _memory.Handle.DangerousRelease();
    }

    private bool SweepSlabLocked(int page, long now)
    {
        ref var info = ref _memory.Info(page);
        var earliest = long.MaxValue;
        var removed = 0;
        for (var index = 0; index < info.FirstUnused; index++)
        {
            var handle = _memory.HandleOf(page, index);
            ref var header = ref _memory.Header(handle);
            if (header.IsFree || !header.Expires)
            {
                continue;
            }

            if (!ExpireIfDueLocked(handle, now))
            {
                earliest = Math.Min(earliest, _store.LookedAtAgain(handle, now));
                continue;
            }

            if (info.State != PageState.Slab)
            {
                // That was the last one, and the page has gone to the pool.
                return false;
            }

            if (++removed == SweepBatch)
            {
                return true;
            }
        }

        info.EarliestDue = earliest;
        return false;
    }

    private bool SweepLargeLocked(uint handle, long now)
    {
        ref var info = ref _memory.Info(_memory.PageOf(handle));
        if (!info.IsLeaving && !ExpireIfDueLocked(handle, now))
        {
            info.EarliestDue = _store.LookedAtAgain(handle, now);
        }

        return false;
    }

    private void ThrowIfClosedLocked() => ObjectDisposedException.ThrowIf(_isClosed, typeof(MemoryTier));
}
