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
/// What is known of one page; these stand at the start of their region. The shard that holds the page owns all of it under its lock,
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

    /// <summary>Slab: the first chunk of the list of freed ones, + 1; 0 for none.</summary>
    public ushort FirstFreed;

    /// <summary>Slab: chunks from here on were never used.</summary>
    public ushort FirstUnused;

    /// <summary>Slab: chunks that hold an entry.</summary>
    public ushort Live;

    private byte _state;

    public byte SizeClass;

    public byte Shard;

    /// <summary>Large head: the entry is gone, and its pages go with the last reader. Slab: being emptied, takes no entry.</summary>
    public bool IsLeaving;

    /// <summary>
    /// A shard that had the page once may look while another takes it from the pool: this is written last and read first, so that who finds a
    /// page in use finds whose it is.
    /// </summary>
    public PageState State
    {
        readonly get => (PageState)Volatile.Read(in _state);
        set => Volatile.Write(ref _state, (byte)value);
    }
}
