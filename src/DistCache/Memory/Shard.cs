using System.Buffers;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// A part of the tier with its own lock, entries and counts: the rules of versions and time. Most reads need no lock. It is held for one
/// look-up and the copy of at most half a page, at worst for emptying one page; no thread ever holds two of them. Large values are
/// copied without it, pinned.
/// </summary>
internal sealed class Shard
{
    private readonly ShardLock _lock = new();
    private readonly PageMemory _memory;
    private readonly EntryStore _store;
    private readonly UseNotes _notes = new();
    private readonly ShardCounters _counters = new();
    private readonly Glance _glance;
    private readonly Pins _pins;
    private readonly Visit _visit;
    private readonly PageSweep _sweep;

    public Shard(TierMemory tier, int number, int baseBuckets, Eviction eviction)
    {
        Number = number;
        _memory = tier.Pool.Memory;
        _store = new EntryStore(tier, number, baseBuckets, eviction, _counters, _notes);
        _glance = new Glance(_lock, _store.Index, _notes, _memory);
        _pins = new Pins(_lock, tier.Pool);
        _visit = new Visit(_lock, _store, _pins, _memory);
        _sweep = new PageSweep(_store, _memory, number);
    }

    public int Number { get; }

    /// <summary>For checks in tests, which run alone.</summary>
    public EntryStore Store => _store;

    public ShardCounters Counters => _counters;

    /// <summary>What the shard holds of the budget, as of late.</summary>
    public long HeldBytes => _store.HeldBytes;

    public int Count
    {
        get
        {
            using (_lock.Hold())
            {
                return _store.Count;
            }
        }
    }

    public MemoryStatistics AddTo(in MemoryStatistics sum)
    {
        using (_lock.Hold())
        {
            return _notes.AddTo(_counters.AddTo(sum, _store.Count));
        }
    }

    public LookupOutcome Read(
        ulong keyHash, ReadOnlySpan<byte> key, Span<byte> destination, bool renew, TimeProvider time, out EntryInfo info, out int valueLength)
    {
        if (!SystemMemory.CanReadReleased
            || !_glance.TryRead(keyHash, key, destination, renew, time, out var outcome, out info, out valueLength, out var toSettle))
        {
            return ReadUnderLock(keyHash, key, destination, renew, time.GetUtcNow().ToUnixTimeMilliseconds(), out info, out valueLength);
        }

        if (toSettle != Glance.NothingToSettle)
        {
            TrySettle(toSettle);
        }

        return outcome;
    }

    /// <summary>False if there is no room now: make some, and call again.</summary>
    public bool TryApply(
        ulong keyHash, ReadOnlySpan<byte> key, Slot slot, in EntryInfo info, in ReadOnlySequence<byte> value, long now,
        out ApplyOutcome outcome, out EntryVersion held)
    {
        using (_lock.Change())
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

            _store.Departures.LeaveTombstones(now);
            return true;
        }
    }

    /// <summary>True if that version, or a higher one, is held already: nothing is to be done.</summary>
    public bool IsSuperseded(ulong keyHash, ReadOnlySpan<byte> key, in EntryInfo info, long now, out ApplyOutcome outcome, out EntryVersion held)
    {
        using (_lock.Change())
        {
            return IsSupersededLocked(keyHash, key, info, now, out _, out outcome, out held);
        }
    }

    /// <summary>As <see cref="TryApply"/>, with an entry that stands in pages of its own. They are the shard's if the outcome is Applied under the version of <paramref name="info"/> and <paramref name="linked"/>.</summary>
    public bool TryApplyLarge(
        ulong keyHash, ReadOnlySpan<byte> key, Slot slot, in EntryInfo info, in PageChain chain, long now,
        out ApplyOutcome outcome, out EntryVersion held, out bool linked)
    {
        using (_lock.Change())
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
                _store.Departures.LeaveTombstones(now);
            }

            return linked;
        }
    }

    /// <summary>Removes the entry if it is a large one that <paramref name="version"/> supersedes.</summary>
    public bool TryDropLarge(ulong keyHash, ReadOnlySpan<byte> key, EntryVersion version)
    {
        using (_lock.Change())
        {
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
        using (_lock.Change())
        {
            var handle = FindLiveLocked(keyHash, key, now);
            if (handle == 0 || _memory.Header(handle).Version != version)
            {
                return false;
            }

            _store.Use(handle, lastAccess);
            return true;
        }
    }

    public bool Forget(ulong keyHash, ReadOnlySpan<byte> key, EntryVersion version)
    {
        using (_lock.Change())
        {
            var handle = FindVersionLocked(keyHash, key, version);
            if (handle != 0)
            {
                _store.Remove(handle);
            }

            return handle != 0;
        }
    }

    /// <inheritdoc cref="Memory.Visit.Show"/>
    public bool Visit(SlotSet slots, ref int baseBucket, ref ulong position, IEntryVisitor visitor, long now) =>
        _visit.Show(slots, ref baseBucket, ref position, visitor, now);

    /// <summary>Removes some of what is expired in one page, if that is due by <paramref name="until"/>; true if there may be more of it.</summary>
    public bool SweepPage(int page, long now, long until)
    {
        using (_lock.Change())
        {
            var isMore = _sweep.Sweep(page, now, until);
            _store.Departures.LeaveTombstones(now);
            return isMore;
        }
    }

    /// <summary>What was evicted for other shards' sake may have left some unwritten.</summary>
    public void LeaveTombstones(long now)
    {
        using (_lock.Change())
        {
            _store.Departures.LeaveTombstones(now);
        }
    }

    /// <summary>Empties one sparse page; true if there may be more of them.</summary>
    public bool TryCompact()
    {
        using (_lock.Change())
        {
            return _store.Evictor.TryCompact();
        }
    }

    /// <summary>The shard's tables want a page, as of late: have one given, and call <see cref="Grow"/>.</summary>
    public bool WantsPage => _store.WantsPage;

    public void Grow()
    {
        using (_lock.Change())
        {
            _store.Grow();
        }
    }

    /// <summary>Gives a page to the pool, and evicts for it what must go; false if there is nothing.</summary>
    public bool TryGivePage()
    {
        using (_lock.Change())
        {
            return _store.Evictor.TryGivePage();
        }
    }

    /// <summary>Removes up to <paramref name="most"/> entries, whichever; how many.</summary>
    public int RemoveSome(int most)
    {
        using (_lock.Change())
        {
            return _store.Evictor.RemoveSome(most);
        }
    }

    /// <summary>From now on every operation throws, and none is under way: the memory may go.</summary>
    public void Close() => _lock.Close();

    private LookupOutcome ReadUnderLock(
        ulong keyHash, ReadOnlySpan<byte> key, Span<byte> destination, bool renew, long now, out EntryInfo info, out int valueLength)
    {
        uint pinned;
        int offset;
        LookupOutcome outcome;
        using (_lock.Change())
        {
            outcome = ReadLocked(keyHash, key, destination, renew, now, out info, out valueLength, out pinned, out offset);
        }

        if (pinned != 0)
        {
            LargeEntries.CopyTo(_memory, _memory.PageOf(pinned), offset, destination[..valueLength]);
            _pins.Unpin(pinned);
        }

        return outcome;
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

        // As it was before this use: whoever tells others of uses goes by that.
        info = _store.InfoOf(handle);
        ref var header = ref _memory.Header(handle);
        if (header.IsTombstone)
        {
            _counters.Misses++;
            return LookupOutcome.Tombstone;
        }

        valueLength = header.ValueLength;
        offset = header.ValueOffset;
        var fits = valueLength <= destination.Length;
        if (fits && _store.IsLarge(handle))
        {
            _pins.PinLocked(handle);
            pinned = handle;
        }
        else if (fits)
        {
            header.ValueIn(_memory.Chunk(handle)).CopyTo(destination);
        }

        if (renew)
        {
            _store.Use(handle, now);
        }

        _counters.Hits += fits ? 1 : 0;
        return fits ? LookupOutcome.Hit : LookupOutcome.TooSmall;
    }

    /// <summary>Where somebody holds the lock, the notes wait; the next who changes anything settles them, and those of other threads.</summary>
    private void TrySettle(int stripe)
    {
        if (_lock.TryHold(out var scope))
        {
            using (scope)
            {
                if (!_lock.IsClosedLocked)
                {
                    _store.SettleUses(stripe);
                }
            }
        }
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

        _store.Use(handle, info.LastAccess);
        return true;
    }

    /// <summary>The entry, unless it is expired: then it goes, and what it leaves is found instead.</summary>
    private uint FindLiveLocked(ulong keyHash, ReadOnlySpan<byte> key, long now)
    {
        var handle = _store.Find(keyHash, key);
        if (handle == 0 || !_store.Departures.ExpireIfDue(handle, now))
        {
            return handle;
        }

        _store.Departures.LeaveTombstones(now);
        return _store.Find(keyHash, key);
    }

    private uint FindVersionLocked(ulong keyHash, ReadOnlySpan<byte> key, EntryVersion version)
    {
        var handle = _store.Find(keyHash, key);
        return handle != 0 && _memory.Header(handle).Version == version ? handle : 0;
    }
}
