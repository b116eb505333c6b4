using System.Runtime.InteropServices;

namespace DistCache.Memory;

internal enum PageState : byte
{
    /// <summary>Never handed out.</summary>
    Fresh,

    /// <summary>In the pool.</summary>
    Free,

    /// <summary>Cut into chunks of one size class.</summary>
    Slab,

    /// <summary>The first page of a large entry.</summary>
    LargeHead,

    /// <summary>A further page of a large entry.</summary>
    LargeTail,

    /// <summary>Buckets of an index, or the counters of a sketch.</summary>
    Table,
}

/// <summary>
/// What is known of one page; these stand at the start of the tier's addresses. The shard that holds the page owns all of it under its lock,
/// the pool while the page is free. 32 bytes.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PageInfo
{
    /// <summary>No entry in the page is due before this moment (it may be too early, never too late), so a sweep may pass by.</summary>
    public long EarliestDue;

    /// <summary>Slab: neighbour in the class's list of pages with room. Large: the page that goes on. Free: the next free one.</summary>
    public int Next;

    /// <summary>Slab: the other neighbour. Large head: how many readers copy from it outside the lock.</summary>
    public int Previous;

    /// <summary>The granules' bytes that are committed and charged.</summary>
    public int CommittedBytes;

    /// <summary>Slab: the length of a chunk, in units. Large head: that of a page.</summary>
    public ushort ChunkUnits;

    /// <summary>Slab: where the first chunk of the list of freed ones begins, in units, + 1; 0 for none.</summary>
    public ushort FirstFreed;

    /// <summary>Slab: chunks that begin here, in units, or further on were never used.</summary>
    public ushort FirstUnused;

    /// <summary>Slab: chunks that hold an entry.</summary>
    public ushort Live;

    private ushort _use;

    public byte SizeClass;

    /// <summary>Large head: the entry is gone, and its pages go with the last reader. Slab: being emptied, takes no entry.</summary>
    public bool IsLeaving;

    public readonly PageState State => (PageState)(byte)Volatile.Read(in _use);

    /// <summary>The shard that has the page, unless it is free.</summary>
    public readonly int Shard => Volatile.Read(in _use) >> 8;

    /// <summary>
    /// Whether the shard has the page, and for that; needs no lock. State and shard are one word: a shard that had the page once may look
    /// while another one takes it from the pool, and must not see the state that it has now together with whose it was.
    /// </summary>
    public readonly bool IsUsed(PageState state, int shard) => Volatile.Read(in _use) == Use(state, shard);

    /// <summary>Who takes a page writes this last, so that who finds it in use finds the rest of it written.</summary>
    public void SetUse(PageState state, int shard) => Volatile.Write(ref _use, Use(state, shard));

    private static ushort Use(PageState state, int shard) => (ushort)((int)state | (shard << 8));
}
