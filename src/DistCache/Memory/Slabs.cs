using System.Diagnostics;

namespace DistCache.Memory;

/// <summary>
/// A shard's pages of chunks. A class's pages with room are linked; a full one is in no list, an empty one goes back to the pool at
/// once. Its shard's lock guards it.
/// </summary>
internal sealed class Slabs(PagePool pool, SizeClasses classes, int shard)
{
    private readonly PageMemory _memory = pool.Memory;
    private readonly ClassState[] _classes = new ClassState[classes.Count];

    /// <summary>Pages held, in the terms of fairness between shards.</summary>
    public int PageCount { get; private set; }

    public int FreeChunks(int sizeClass) => _classes[sizeClass].FreeChunks;

    /// <summary>True if so many chunks of the class are free that one page's entries fit into the others.</summary>
    public bool HasPageToSpare(int sizeClass) => _classes[sizeClass].FreeChunks >= classes.ChunksPerPage(sizeClass);

    /// <summary>A chunk of the class's own pages; 0 if they are full.</summary>
    public uint TryAllocate(int sizeClass)
    {
        ref var state = ref _classes[sizeClass];
        var page = state.FirstWithRoom;
        if (page == 0)
        {
            return 0;
        }

        ref var info = ref _memory.Info(page);
        uint handle;
        if (info.FirstFreed != 0)
        {
            handle = _memory.HandleOf(page, info.FirstFreed - 1);
            info.FirstFreed = (ushort)_memory.Header(handle).Newer;
        }
        else
        {
            handle = _memory.HandleOf(page, info.FirstUnused);
            info.FirstUnused += info.ChunkUnits;
        }

        info.Live++;
        state.FreeChunks--;
        if (info.Live == classes.ChunksPerPage(sizeClass))
        {
            Unlink(ref state, page);
        }

        return handle;
    }

    /// <summary>Takes another page from the pool for the class; false if the budget does not allow it.</summary>
    public bool TryGrow(int sizeClass)
    {
        if (!pool.TryTake(PageState.Slab, shard, out var page))
        {
            return false;
        }

        _memory.Info(page).SizeClass = (byte)sizeClass;
        _memory.Info(page).ChunkUnits = (ushort)(classes.ChunkBytes(sizeClass) >> _memory.Geometry.UnitShift);
        ref var state = ref _classes[sizeClass];
        state.FreeChunks += classes.ChunksPerPage(sizeClass);
        Link(ref state, page);
        PageCount++;
        return true;
    }

    public void Free(uint handle)
    {
        var page = _memory.PageOf(handle);
        ref var info = ref _memory.Info(page);
        Debug.Assert(info.State == PageState.Slab && !_memory.Header(handle).IsFree, "The chunk was freed before.");
        ref var state = ref _classes[info.SizeClass];
        _memory.PoisonChunk(handle);
        ref var header = ref _memory.Header(handle);
        header.Newer = info.FirstFreed;
        header.MarkFree();
        info.FirstFreed = (ushort)(_memory.UnitOf(handle) + 1);
        info.Live--;
        if (info.IsLeaving)
        {
            return;
        }

        state.FreeChunks++;
        if (info.Live == 0)
        {
            Unlink(ref state, page);
            state.FreeChunks -= classes.ChunksPerPage(info.SizeClass);
            GivePage(page);
        }
        else if (info.Live == classes.ChunksPerPage(info.SizeClass) - 1)
        {
            Link(ref state, page);
        }
    }

    /// <summary>The page with room that has the fewest entries, of the first few; 0 if none has room.</summary>
    public int SparsestPage(int sizeClass)
    {
        var sparsest = 0;
        var page = _classes[sizeClass].FirstWithRoom;
        for (var looked = 0; page != 0 && looked < 16; looked++)
        {
            if (sparsest == 0 || _memory.Info(page).Live < _memory.Info(sparsest).Live)
            {
                sparsest = page;
            }

            page = _memory.Info(page).Next;
        }

        return sparsest;
    }

    /// <summary>From now on the page takes no entry, and its free chunks count no more.</summary>
    public void StartLeaving(int page)
    {
        ref var info = ref _memory.Info(page);
        ref var state = ref _classes[info.SizeClass];
        var capacity = classes.ChunksPerPage(info.SizeClass);
        if (info.Live < capacity)
        {
            Unlink(ref state, page);
        }

        state.FreeChunks -= capacity - info.Live;
        info.IsLeaving = true;
    }

    /// <summary>The opposite of <see cref="StartLeaving"/>.</summary>
    public void StopLeaving(int page)
    {
        ref var info = ref _memory.Info(page);
        ref var state = ref _classes[info.SizeClass];
        var capacity = classes.ChunksPerPage(info.SizeClass);
        info.IsLeaving = false;
        if (info.Live == 0)
        {
            GivePage(page);
            return;
        }

        state.FreeChunks += capacity - info.Live;
        if (info.Live < capacity)
        {
            Link(ref state, page);
        }
    }

    /// <summary>The page that was leaving is empty.</summary>
    public void GivePage(int page)
    {
        Debug.Assert(_memory.Info(page).Live == 0);
        PageCount--;
        pool.Give(page);
    }

    /// <summary>Checks lists and counters of one class against its pages, for tests; gives its free chunks and pages.</summary>
    public void Verify(int sizeClass, int pages, int freeChunks, int pagesWithRoom)
    {
        var linked = 0;
        for (var page = _classes[sizeClass].FirstWithRoom; page != 0; page = _memory.Info(page).Next, linked++)
        {
            ref var info = ref _memory.Info(page);
            if (!info.IsUsed(PageState.Slab, shard) || info.SizeClass != sizeClass || linked > pages)
            {
                throw new InvalidOperationException($"Page {page} is in the list of shard {shard}, class {sizeClass}, but not of it.");
            }
        }

        if (linked != pagesWithRoom || freeChunks != _classes[sizeClass].FreeChunks)
        {
            throw new InvalidOperationException(
                $"Class {sizeClass}: {linked} pages linked, {pagesWithRoom} have room; {_classes[sizeClass].FreeChunks} chunks counted, {freeChunks} free.");
        }
    }

    private void Link(ref ClassState state, int page)
    {
        ref var info = ref _memory.Info(page);
        info.Previous = 0;
        info.Next = state.FirstWithRoom;
        if (state.FirstWithRoom != 0)
        {
            _memory.Info(state.FirstWithRoom).Previous = page;
        }

        state.FirstWithRoom = page;
    }

    private void Unlink(ref ClassState state, int page)
    {
        ref var info = ref _memory.Info(page);
        if (info.Previous == 0)
        {
            state.FirstWithRoom = info.Next;
        }
        else
        {
            _memory.Info(info.Previous).Next = info.Next;
        }

        if (info.Next != 0)
        {
            _memory.Info(info.Next).Previous = info.Previous;
        }
    }

    private struct ClassState
    {
        public int FirstWithRoom;
        public int FreeChunks;
    }
}
