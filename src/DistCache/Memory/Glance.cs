using System.Runtime.InteropServices;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// Reads without the shard's lock, and writes to no cache line that another processor's reads write to: looks, copies, and then makes sure
/// that nothing was changed meanwhile. Tries once. Whatever is out of the ordinary is left to the reader who holds the lock: a change
/// under way, large, expired or removed entries, a window to renew, a short destination.
/// </summary>
/// <remarks>
/// 1 the reader notes the number of the lock; 2 a writer frees the entry, its page goes to the pool, to another shard, or back to the
/// system; 3 the reader copies what stands there now. 2 raised the number before it began, so 3 is thrown away. Memory that the system has
/// back reads as zeros, where it can be read at all.
/// </remarks>
internal sealed class Glance(ShardLock shardLock, KeyIndex index, UseNotes notes, PageMemory memory)
{
    /// <summary>What <see cref="TryRead"/> says where nothing is to be settled.</summary>
    public const int NothingToSettle = -1;

    /// <summary>False if it has to be read under the lock, and nothing counts as seen; else, the stripe of notes that it is time to settle.</summary>
    public bool TryRead(
        ulong keyHash, ReadOnlySpan<byte> key, Span<byte> destination, bool renew, TimeProvider time,
        out LookupOutcome outcome, out EntryInfo info, out int valueLength, out int toSettle)
    {
        (outcome, info, valueLength, toSettle) = (LookupOutcome.Miss, default, 0, NothingToSettle);
        if (!shardLock.TryLook(out var sequence) || !index.TryGlance(keyHash, key, out var handle, out var shape, out var entry))
        {
            return false;
        }

        if (handle == 0)
        {
            if (!shardLock.IsUnchanged(sequence))
            {
                return false;
            }

            notes.NoteMiss();
            return true;
        }

        if (shape.IsTombstone || shape.ValueLength > destination.Length || (renew && shape.HasWindow))
        {
            return false;
        }

        info = shape.InfoIn(entry);
        if (shape.Expires && info.DueAt <= time.GetUtcNow().ToUnixTimeMilliseconds())
        {
            return false;
        }

        shape.ValueIn(entry).CopyTo(destination);
        if (!shardLock.IsUnchanged(sequence))
        {
            return false;
        }

        valueLength = shape.ValueLength;
        outcome = LookupOutcome.Hit;
        if (renew)
        {
            // They are written to when this use is settled; till then they have come.
            ref readonly var header = ref MemoryMarshal.AsRef<EntryHeader>(entry);
            memory.Prefetch(header.Newer);
            memory.Prefetch(header.Older);
        }

        if (notes.NoteHit(renew ? handle : 0, out var stripe))
        {
            toSettle = stripe;
        }

        return true;
    }
}
