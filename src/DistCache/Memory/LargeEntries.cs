using System.Buffers;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Memory;

/// <summary>
/// Entries over half a page: a chain of pages, filled one after the other with header, key and value; the last one is committed only
/// as far as it is filled. A chain in nobody's list belongs to whoever made it, so it is filled and read without a lock.
/// </summary>
internal static class LargeEntries
{
    /// <summary>Takes pages until the chain holds <paramref name="totalBytes"/>; false if the pool has none now: make room and call again.</summary>
    public static bool TryExtend(PagePool pool, ref PageChain chain, long totalBytes, int shard, int largeClass)
    {
        var memory = pool.Memory;
        while (chain.Bytes < totalBytes)
        {
            var bytes = (int)Math.Min(memory.Geometry.PageBytes, totalBytes - chain.Bytes);
            var state = chain.Head == 0 ? PageState.LargeHead : PageState.LargeTail;
            if (!pool.TryTakeLarge(bytes, state, shard, out var page))
            {
                return false;
            }

            if (chain.Head == 0)
            {
                memory.Info(page).SizeClass = (byte)largeClass;
                memory.Info(page).ChunkUnits = (ushort)(memory.Geometry.PageBytes >> memory.Geometry.UnitShift);
                chain.Head = page;
            }
            else
            {
                memory.Info(chain.Tail).Next = page;
            }

            chain.Tail = page;
            chain.Bytes += bytes;
        }

        return true;
    }

    public static void Write(PageMemory memory, int head, in EntryHeader header, in EntryInfo info, ReadOnlySpan<byte> key, in ReadOnlySequence<byte> value)
    {
        var handle = memory.HandleOf(head, 0);
        memory.Header(handle) = header;
        var chunk = memory.Chunk(handle);
        StoredExpiration.Write(chunk, info);
        key.CopyTo(chunk[header.KeyOffset..]);
        var page = head;
        var room = chunk[header.ValueOffset..];
        foreach (var segment in value)
        {
            var rest = segment.Span;
            while (rest.Length > room.Length)
            {
                ValueBytes.Copy(rest[..room.Length], room);
                rest = rest[room.Length..];
                page = memory.Info(page).Next;
                room = memory.Page(page);
            }

            ValueBytes.Copy(rest, room);
            room = room[rest.Length..];
        }
    }

    /// <summary>Copies what stands from byte <paramref name="offset"/> of the first page on.</summary>
    public static void CopyTo(PageMemory memory, int head, int offset, Span<byte> destination)
    {
        var page = head;
        var source = memory.Page(page)[offset..];
        while (destination.Length > source.Length)
        {
            ValueBytes.Copy(source, destination);
            destination = destination[source.Length..];
            page = memory.Info(page).Next;
            source = memory.Page(page);
        }

        ValueBytes.Copy(source[..destination.Length], destination);
    }

    /// <summary>Gives the pages back; how many bytes of the budget they took.</summary>
    public static long Free(PagePool pool, int head)
    {
        var bytes = 0L;
        for (var page = head; page != 0;)
        {
            ref var info = ref pool.Memory.Info(page);
            var next = info.Next;
            bytes += info.CommittedBytes;
            pool.Give(page);
            page = next;
        }

        return bytes;
    }

    public static long CommittedBytes(PageMemory memory, int head)
    {
        var bytes = 0L;
        for (var page = head; page != 0; page = memory.Info(page).Next)
        {
            bytes += memory.Info(page).CommittedBytes;
        }

        return bytes;
    }
}

/// <summary>Pages for one large entry.</summary>
internal struct PageChain
{
    public int Head;
    public int Tail;
    public long Bytes;
}
