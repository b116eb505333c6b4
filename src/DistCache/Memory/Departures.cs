using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// Entries that go without being replaced, because their time is over or to make room: which are due, and what they leave behind. If not
/// all owners are known to hold an entry's version a tombstone takes its place: else an older copy that an owner still has could return.
/// Its shard's lock guards it.
/// </summary>
internal sealed class Departures(TierMemory tier, EntryStore store, ShardCounters counters)
{
    /// <summary>Entries that went and whose tombstones are not written yet. One page's worth of evictions fits; what is beyond leaves none.</summary>
    private const int MaximumUnwritten = 4_096;

    private readonly PageMemory _memory = tier.Pool.Memory;
    private readonly Queue<(byte[] Key, ulong KeyHash, Slot Slot, EntryVersion Version)> _unwritten = [];

    /// <summary>True where the entry has an end and that has come.</summary>
    public bool IsDue(uint handle, long now)
    {
        ref var header = ref _memory.Header(handle);
        if (header.Expires && header.IsTombstone)
        {
            // First, also where another thread is just doing it: when a tombstone goes depends on it.
            tier.NoticeStandstill(now);
        }

        return header.Expires && GoesAt(handle) <= now;
    }

    /// <summary>Removes the entry if its time is over.</summary>
    public bool ExpireIfDue(uint handle, long now)
    {
        if (!IsDue(handle, now))
        {
            return false;
        }

        counters.Expired++;
        Depart(handle);
        return true;
    }

    /// <summary>Removes a value to make room.</summary>
    public void Evict(uint handle)
    {
        counters.EvictedForSize++;
        Depart(handle);
    }

    /// <summary>When a sweep looks at the entry next, if it does not go now. All owners may get to hold a tombstone at any time.</summary>
    public long LookedAtAgain(uint handle, long now)
    {
        var dueAt = store.InfoOf(handle).DueAt;
        return _memory.Header(handle).IsTombstone && tier.TombstoneLifetime > 0
            ? Math.Min(dueAt, Math.Max(dueAt - tier.TombstoneLifetime, now) + TierMemory.ConfirmedTombstoneLifetime)
            : dueAt;
    }

    /// <summary>
    /// Writes the tombstones of what departed. Each may push out others, whose tombstones wait for the next call: so the work of one call is
    /// bounded, and a tier full of unconfirmed entries does not eat itself up.
    /// </summary>
    public void LeaveTombstones(long now)
    {
        for (var left = _unwritten.Count; left > 0; left--)
        {
            var (key, keyHash, slot, version) = _unwritten.Dequeue();
            var info = new EntryInfo(version, new Expiration(now + tier.TombstoneLifetime, 0), 0, EntryFlags.Tombstone);
            var held = store.Find(keyHash, key);
            var isSuperseded = held != 0 && _memory.Header(held).Version >= version;
            var fits = EntryHeader.Bytes + StoredExpiration.BytesOf(info.Expiration) + key.Length <= tier.Classes.LargestChunkBytes;
            if (!isSuperseded && !(fits && store.TryPut(keyHash, key, slot, info, default, held)))
            {
                counters.TombstonesDropped++;
            }
        }
    }

    /// <summary>When the entry goes, as far as is known now: a tombstone that all owners hold is not wanted for its whole life.</summary>
    private long GoesAt(uint handle)
    {
        ref var header = ref _memory.Header(handle);
        var dueAt = store.InfoOf(handle).DueAt;
        return header.IsTombstone && tier.TombstoneLifetime > 0 && tier.IsConfirmed(header.Slot, header.Clock)
            ? dueAt - tier.TombstoneLifetime + TierMemory.ConfirmedTombstoneLifetime
            : dueAt;
    }

    private void Depart(uint handle)
    {
        ref var header = ref _memory.Header(handle);
        if (!tier.IsConfirmed(header.Slot, header.Clock) && !header.IsTombstone)
        {
            if (_unwritten.Count < MaximumUnwritten)
            {
                _unwritten.Enqueue((store.Index.KeyOf(handle).ToArray(), store.Index.HashOf(handle), header.Slot, header.Version));
            }
            else
            {
                counters.TombstonesDropped++;
            }
        }

        store.Remove(handle);
    }
}
