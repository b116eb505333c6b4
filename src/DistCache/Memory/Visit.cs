using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// Shows a shard's entries to a visitor in the order of its index, a few buckets under one hold of the lock; large values without it, pinned.
/// </summary>
internal sealed class Visit(ShardLock shardLock, EntryStore store, Pins pins, PageMemory memory)
{
    /// <summary>Buckets that are looked through under one hold of the lock.</summary>
    private const int Batch = 8;

    /// <summary>Bytes of values after which the lock is let go: what a visitor copies in some microseconds.</summary>
    private const int BatchBytes = 32 << 10;

    /// <summary>
    /// Shows what stands from <paramref name="position"/> of <paramref name="baseBucket"/> on; false where the visitor has no more room, and
    /// then they are those of the entry that it refused.
    /// </summary>
    public bool Show(SlotSet slots, ref int baseBucket, ref ulong position, IEntryVisitor visitor, long now)
    {
        var found = new List<(ulong Position, uint Handle)>();
        while (baseBucket < store.Index.BaseBuckets)
        {
            uint pinned;
            EntryInfo info;
            using (shardLock.Change())
            {
                if (!ShowBucketsLocked(slots, ref baseBucket, ref position, visitor, now, found, out pinned, out info))
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

    private static void Advance(ref int baseBucket, ref ulong position, ulong next)
    {
        (baseBucket, position) = next > uint.MaxValue ? (baseBucket + 1, 0) : (baseBucket, next);
    }

    /// <summary>Looks through a few buckets; ends early after many bytes, and, with the entry pinned, at a large one.</summary>
    private bool ShowBucketsLocked(
        SlotSet slots, ref int baseBucket, ref ulong position, IEntryVisitor visitor, long now,
        List<(ulong Position, uint Handle)> found, out uint pinned, out EntryInfo info)
    {
        (pinned, info) = (0, default);
        var shownBytes = 0;
        for (var i = 0; i < Batch && baseBucket < store.Index.BaseBuckets; i++)
        {
            var bucket = store.Index.BucketAt(baseBucket, (uint)position, out var end);
            if (!FindInBucketLocked(bucket, slots, position, now, found))
            {
                // What was due is gone, or is a tombstone in its place: the others may stand elsewhere now.
                i--;
                continue;
            }

            foreach (var (at, handle) in found)
            {
                if (shownBytes >= BatchBytes && at != position)
                {
                    position = at;
                    return true;
                }

                position = at;
                info = store.InfoOf(handle);
                if (store.IsLarge(handle))
                {
                    pins.PinLocked(handle);
                    pinned = handle;
                    return true;
                }

                var value = memory.Header(handle).ValueIn(memory.Chunk(handle));
                if (!visitor.Visit(store.Index.KeyOf(handle), info, new StoredValue(value)))
                {
                    return false;
                }

                shownBytes += value.Length;
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
        var reader = store.Index.Read(bucket);
        while (reader.Next(slots, handles, out var count))
        {
            foreach (var handle in handles[..count])
            {
                var at = (ulong)LinearHash.PositionOf(store.Index.HashOf(handle));
                if (at >= position && slots.Contains(memory.Header(handle).Slot))
                {
                    found.Add((at, handle));
                    due = store.Departures.IsDue(handle, now) ? handle : due;
                }
            }
        }

        if (due != 0)
        {
            store.Departures.ExpireIfDue(due, now);
            store.Departures.LeaveTombstones(now);
            return false;
        }

        found.Sort(static (left, right) => left.Position.CompareTo(right.Position));
        return true;
    }

    private bool ShowPinned(uint handle, in EntryInfo info, IEntryVisitor visitor)
    {
        try
        {
            ref var header = ref memory.Header(handle);
            var value = new StoredValue(memory, memory.PageOf(handle), header.ValueOffset, header.ValueLength);
            return visitor.Visit(store.Index.KeyOf(handle), info, value);
        }
        finally
        {
            pins.Unpin(handle);
        }
    }
}
