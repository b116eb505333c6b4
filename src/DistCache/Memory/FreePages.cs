namespace DistCache.Memory;

/// <summary>The free pages of one kind of regions: idle ones are committed, released ones are not, and fresh ones were never used.</summary>
internal sealed class FreePages(PageMemory memory)
{
    public PageStack Idle { get; } = new(memory);

    public PageStack Released { get; } = new(memory);

    public int NextFresh { get; set; }

    public int EndOfRegion { get; set; }
}

/// <summary>Free pages, linked through their infos.</summary>
internal sealed class PageStack(PageMemory memory)
{
    /// <summary>The one that is taken next; 0 if there is none.</summary>
    public int First { get; private set; }

    public int Count { get; private set; }

    public void Put(int page)
    {
        ref var info = ref memory.Info(page);
        info.SetUse(PageState.Free, 0);
        info.Next = First;
        First = page;
        Count++;
    }

    /// <summary>0 if there is none.</summary>
    public int Take()
    {
        var page = First;
        if (page != 0)
        {
            First = memory.Info(page).Next;
            Count--;
        }

        return page;
    }
}
