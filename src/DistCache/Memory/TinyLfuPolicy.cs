namespace DistCache.Memory;

/// <summary>
/// W-TinyLFU (Einziger, Friedman and Manes, "TinyLFU", ACM ToS 2017; window sized as in Einziger, Eytan, Friedman and Manes, "Adaptive
/// Software Cache Management", Middleware 2018). Newcomers enter a window; where that is over its share, its oldest entry and the
/// oldest one on probation compare how often they were used lately, and the loser goes. What is used on probation becomes protected,
/// up to four fifths of what is not in the window. Each size class is such a cache of its own; the sketch is the shard's, the
/// window's share the tier's.
/// </summary>
internal sealed class TinyLfuPolicy(RecencyLists lists, FrequencySketch sketch, KeyIndex index, WindowClimber climber) : EvictionPolicy
{
    private const double ProtectedShare = 0.8;

    /// <summary>Uses are told to the climber in batches: it is the only thing that shards share.</summary>
    private const int ReportInterval = 64;

    private int _hits;
    private int _misses;

    public override int PageCount => sketch.PageCount;

    public override void Added(uint handle, int sizeClass, ulong keyHash)
    {
        sketch.Increment(keyHash);
        lists.AddNewest(handle, sizeClass, Segment.Window);
        if (lists.Count(sizeClass, Segment.Window) > WindowTarget(sizeClass))
        {
            lists.MoveToNewest(lists.Oldest(sizeClass, Segment.Window), sizeClass, Segment.Probation);
        }

        _misses++;
        Report();
    }

    public override void Used(uint handle, int sizeClass)
    {
        sketch.Increment(index.HashOf(handle));
        _hits++;
        Report();
        if (lists.SegmentOf(handle) == Segment.Window)
        {
            lists.MoveToNewest(handle, sizeClass, Segment.Window);
            return;
        }

        lists.MoveToNewest(handle, sizeClass, Segment.Protected);
        var main = lists.ValueCount(sizeClass) - lists.Count(sizeClass, Segment.Window);
        if (lists.Count(sizeClass, Segment.Protected) > main * ProtectedShare)
        {
            lists.MoveToNewest(lists.Oldest(sizeClass, Segment.Protected), sizeClass, Segment.Probation);
        }
    }

    public override uint ChooseVictim(int sizeClass)
    {
        var victim = OldestOfMain(sizeClass);
        var candidate = lists.Oldest(sizeClass, Segment.Window);
        if (victim == 0 || candidate == 0)
        {
            return victim | candidate;
        }

        if (lists.Count(sizeClass, Segment.Window) < WindowTarget(sizeClass))
        {
            return victim;
        }

        if (IsWorthLess(candidate, victim))
        {
            return candidate;
        }

        lists.MoveToNewest(candidate, sizeClass, Segment.Probation);
        return victim;
    }

    public override uint Eldest(int sizeClass)
    {
        var oldest = OldestOfMain(sizeClass);
        return oldest != 0 ? oldest : lists.Oldest(sizeClass, Segment.Window);
    }

    public override uint Pushed(int sizeClass)
    {
        var pushed = lists.Oldest(sizeClass, Segment.Window);
        return pushed != 0 ? pushed : OldestOfMain(sizeClass);
    }

    public override bool IsWorthLess(uint giver, uint taker) =>
        sketch.Estimate(index.HashOf(giver)) <= sketch.Estimate(index.HashOf(taker));

    public override bool TryResize(int entries) => sketch.TryResize(entries);

    private uint OldestOfMain(int sizeClass)
    {
        var oldest = lists.Oldest(sizeClass, Segment.Probation);
        return oldest != 0 ? oldest : lists.Oldest(sizeClass, Segment.Protected);
    }

    private int WindowTarget(int sizeClass) => Math.Max(1, (int)(lists.ValueCount(sizeClass) * climber.WindowShare));

    private void Report()
    {
        if (_hits + _misses >= ReportInterval)
        {
            climber.Report(_hits, _misses, index.Count);
            _hits = _misses = 0;
        }
    }
}
