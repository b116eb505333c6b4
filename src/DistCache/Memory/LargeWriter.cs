using System.Buffers;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// Writes entries that take pages of their own: gathers them first, and then writes, with no shard's lock held meanwhile; the entry is seen
/// when it is linked.
/// </summary>
/// <param name="time">The clock that expiry goes by.</param>
internal sealed class LargeWriter(TimeProvider time)
{
    /// <summary>
    /// Large entries gather their pages one writer at a time: two half-done ones could starve each other. Taken before a shard's lock, and that
    /// before the pool's.
    /// </summary>
    private readonly Lock _gatherLock = new();

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Writes the entry unless one of that version or a later one is held.</summary>
    /// <exception cref="InsufficientMemoryException">No room was found in ten seconds.</exception>
    public ApplyOutcome Apply(
        TierMemory memory, Shard shard, ulong keyHash, ReadOnlySpan<byte> key, Slot slot, in EntryInfo info, in ReadOnlySequence<byte> value,
        long totalBytes, out EntryVersion held)
    {
        if (shard.IsSuperseded(keyHash, key, info, Now, out var outcome, out held))
        {
            return outcome;
        }

        memory.Hold();
        var chain = default(PageChain);
        var isLinked = false;
        try
        {
            var room = new RoomMaker(memory);
            var header = new EntryHeader(info, key.Length, (int)value.Length, slot);
            while (true)
            {
                if (TryGather(memory, room, shard, keyHash, key, info.Version, totalBytes, ref chain))
                {
                    LargeEntries.Write(memory.Pool.Memory, chain.Head, header, info, key, value);
                    do
                    {
                        if (shard.TryApplyLarge(keyHash, key, slot, info, chain, Now, out outcome, out held, out isLinked))
                        {
                            room.MakeForTablesOf(shard);
                            return outcome;
                        }
                    }
                    while (room.TryMake());
                }

                // All pages are in the hands of such writers, and one of them may lack a single one: all of these go back before anybody waits.
                LargeEntries.Free(memory.Pool, chain.Head);
                chain = default;
                LetOthersGather();
                room.Wait();
                // From now on alone until it is linked: two of them could else take from each other, in step, again and again.
                _gatherLock.Enter();
            }
        }
        finally
        {
            if (!isLinked)
            {
                LargeEntries.Free(memory.Pool, chain.Head);
            }

            LetOthersGather();
            memory.LetGo();
        }
    }

    private void LetOthersGather()
    {
        if (_gatherLock.IsHeldByCurrentThread)
        {
            _gatherLock.Exit();
        }
    }

    /// <summary>Takes the pages for a large entry, and has others give theirs; false if nobody has anything to give now.</summary>
    private bool TryGather(
        TierMemory memory, in RoomMaker room, Shard shard, ulong keyHash, ReadOnlySpan<byte> key, EntryVersion version, long totalBytes, ref PageChain chain)
    {
        lock (_gatherLock)
        {
            while (!LargeEntries.TryExtend(memory.Pool, ref chain, totalBytes, shard.Number, memory.Classes.LargeClass))
            {
                // Where both do not fit, the old value goes before any other key's: it is superseded in a moment anyway.
                if (!shard.TryDropLarge(keyHash, key, version) && !room.TryMake())
                {
                    return false;
                }
            }

            return true;
        }
    }
}
