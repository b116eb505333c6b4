using System.Diagnostics;

namespace DistCache.Memory;

/// <summary>The free pages of one kind of regions: idle ones are committed, released ones are not. Linked through their infos.</summary>
internal sealed class FreePages
{
    private int _firstReleased;

    /// <summary>Free pages that nothing is committed of.</summary>
    public int ReleasedCount { get; private set; }

    public int NextFresh { get; set; }

    public int EndOfRegion { get; set; }

    public int FirstIdle { get; private set; }

    public int IdleCount { get; private set; }

    public void PutIdle(PageMemory memory, int page)
    {
        ref var info = ref memory.Info(page);
        Debug.Assert(info.State != PageState.Free || info.CommittedBytes > 0);
        info.SetUse(PageState.Free, 0);
        info.Next = FirstIdle;
        FirstIdle = page;
        IdleCount++;
    }

    public int TakeIdle(PageMemory memory)
    {
        var page = FirstIdle;
        FirstIdle = memory.Info(page).Next;
        IdleCount--;
        return page;
    }

    public void PutReleased(PageMemory memory, int page)
    {
        ref var info = ref memory.Info(page);
        info.SetUse(PageState.Free, 0);
        info.Next = _firstReleased;
        _firstReleased = page;
        ReleasedCount++;
    }

    public int TakeReleased(PageMemory memory)
    {
        var page = _firstReleased;
        if (page != 0)
        {
            _firstReleased = memory.Info(page).Next;
            ReleasedCount--;
        }

        return page;
    }
}
