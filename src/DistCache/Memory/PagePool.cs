using System.Diagnostics;

namespace DistCache.Memory;

/// <summary>
/// The tier's one budget. Every page of every shard comes from here and is charged by what of it is committed; whatever the tier needs
/// besides is charged too. Two kinds of regions: small pages are committed whole (a block of huge pages at a time if the budget is
/// large), large entries' pages only as far as they are filled. Free pages stay committed until the budget needs them or
/// <see cref="Trim"/> finds them idle; then the system gets them back and their addresses wait.
/// </summary>
internal sealed class PagePool : IDisposable
{
    private readonly Lock _lock = new();
    private readonly long _limit;
    private readonly PageGeometry _geometry;
    private readonly Kind _small = new(isLarge: false);
    private readonly Kind _large = new(isLarge: true);
    private readonly List<Kind> _kindOfRegion = [];
    private long _charged;
    private int _fewestIdle;

    /// <param name="memory">The address space.</param>
    /// <param name="limit">The budget in bytes.</param>
    /// <param name="fixedBytes">What the tier takes of it for ever.</param>
    public PagePool(PageMemory memory, long limit, long fixedBytes)
    {
        Memory = memory;
        _limit = limit;
        _charged = fixedBytes;
        _geometry = memory.Geometry;
    }

    public PageMemory Memory { get; }

    /// <summary>What counts towards the budget now.</summary>
    public long ChargedBytes => Volatile.Read(ref _charged);

    public int PageCount
    {
        get
        {
            lock (_lock)
            {
                return Memory.PageCount;
            }
        }
    }

    /// <summary>A whole page for chunks or buckets; its content is arbitrary. False if the budget does not allow it.</summary>
    public bool TryTake(PageState use, int shard, out int page)
    {
        lock (_lock)
        {
            return TryTakeLocked(_small, _geometry.PageBytes, use, shard, out page);
        }
    }

    /// <summary>A page of which a large entry uses the first <paramref name="bytes"/>.</summary>
    public bool TryTakeLarge(int bytes, PageState use, int shard, out int page)
    {
        lock (_lock)
        {
            return TryTakeLocked(_large, PageGeometry.RoundToGranule(bytes), use, shard, out page);
        }
    }

    public void Give(int page)
    {
        Memory.PoisonPage(page);
        lock (_lock)
        {
            _kindOfRegion[page >> _geometry.RegionShift].PutIdle(Memory, page);
        }
    }

    /// <summary>Gives back to the system what was idle since the last call, but a huge block's worth.</summary>
    public void Trim()
    {
        lock (_lock)
        {
            var keep = _geometry.UsesHugeBlocks ? _geometry.PagesPerHugeBlock : 0;
            for (var i = Math.Min(_fewestIdle, IdleLocked - keep); i > 0; i--)
            {
                ReleaseIdleLocked();
            }

            _fewestIdle = IdleLocked;
        }
    }

    public void Dispose() => Memory.Dispose();

    /// <summary>Compares the books with the pages, for tests. Nothing else may run.</summary>
    public void Verify(long fixedBytes)
    {
        long committed = fixedBytes;
        for (var page = 0; page < Memory.PageCount; page++)
        {
            var inRegion = page & (_geometry.PagesPerRegion - 1);
            committed += inRegion == 0 ? _geometry.RegionHeaderBytes : 0;
            committed += inRegion >= _geometry.RegionHeaderPages ? Memory.Info(page).CommittedBytes : 0;
        }

        if (committed != _charged || _charged > _limit)
        {
            throw new InvalidOperationException($"{_charged} bytes are charged, {committed} committed, {_limit} allowed.");
        }
    }

    private int IdleLocked => _small.IdleCount + _large.IdleCount;

    private bool TryTakeLocked(Kind kind, int bytes, PageState use, int shard, out int page)
    {
        if (kind.FirstIdle == 0 && !kind.HasReleased && !kind.IsLarge)
        {
            TryAddHugeBlockLocked(kind);
        }

        page = kind.FirstIdle;
        if (page != 0)
        {
            var committed = Memory.Info(page).CommittedBytes;
            if (committed < bytes && !TryRecommitLocked(kind, page, committed, bytes))
            {
                return false;
            }

            kind.TakeIdle(Memory);
            _fewestIdle = Math.Min(_fewestIdle, IdleLocked);
            CutLocked(page, bytes);
        }
        else if (!TryCommitFreshLocked(kind, bytes, out page))
        {
            return false;
        }

        Memory.Info(page) = new PageInfo
        {
            CommittedBytes = Memory.Info(page).CommittedBytes,
            EarliestDue = long.MaxValue,
            State = use,
            Shard = (byte)shard,
        };
        return true;
    }

    /// <summary>The page itself is idle and could be released to pay for itself: it is not, only others are.</summary>
    private bool TryRecommitLocked(Kind kind, int page, int committed, int bytes)
    {
        kind.TakeIdle(Memory);
        var done = TryChargeLocked(bytes - committed) && TryCommitLocked(page, bytes, bytes - committed);
        kind.PutIdle(Memory, page);
        return done;
    }

    private bool TryCommitLocked(int page, int bytes, int charged)
    {
        if (Memory.TryCommit(page, bytes))
        {
            Memory.Info(page).CommittedBytes = bytes;
            return true;
        }

        _charged -= charged;
        return false;
    }

    private void CutLocked(int page, int bytes)
    {
        ref var info = ref Memory.Info(page);
        if (info.CommittedBytes > bytes)
        {
            Memory.Decommit(page, bytes, info.CommittedBytes - bytes);
            _charged -= info.CommittedBytes - bytes;
            info.CommittedBytes = bytes;
        }
    }

    private bool TryCommitFreshLocked(Kind kind, int bytes, out int page)
    {
        page = kind.TakeReleased(Memory);
        if (page == 0 && !TryAdvanceLocked(kind, out page))
        {
            return false;
        }

        if (TryChargeLocked(bytes) && TryCommitLocked(page, bytes, bytes))
        {
            return true;
        }

        kind.PutReleased(Memory, page);
        page = 0;
        return false;
    }

    /// <summary>The next page that was never used.</summary>
    private bool TryAdvanceLocked(Kind kind, out int page)
    {
        page = 0;
        if (kind.NextFresh == kind.EndOfRegion && !TryAddRegionLocked(kind))
        {
            return false;
        }

        page = kind.NextFresh++;
        return true;
    }

    /// <summary>Where a huge block begins and can be paid for, all of it becomes idle pages; else pages go on one by one.</summary>
    private void TryAddHugeBlockLocked(Kind kind)
    {
        var block = _geometry.PagesPerHugeBlock;
        if (!_geometry.UsesHugeBlocks
            || (kind.NextFresh == kind.EndOfRegion && !TryAddRegionLocked(kind))
            || kind.NextFresh % block != 0
            || !TryChargeLocked(SystemMemory.HugeBlockBytes))
        {
            return;
        }

        var first = kind.NextFresh;
        Memory.CommitHugeBlock(first);
        for (var page = first + block - 1; page >= first; page--)
        {
            Memory.Info(page).CommittedBytes = _geometry.PageBytes;
            kind.PutIdle(Memory, page);
        }

        kind.NextFresh += block;
    }

    private bool TryAddRegionLocked(Kind kind)
    {
        if (!TryChargeLocked(_geometry.RegionHeaderBytes))
        {
            return false;
        }

        if (!Memory.TryAddRegion())
        {
            _charged -= _geometry.RegionHeaderBytes;
            return false;
        }

        _kindOfRegion.Add(kind);
        kind.NextFresh = ((_kindOfRegion.Count - 1) << _geometry.RegionShift) + _geometry.RegionHeaderPages;
        kind.EndOfRegion = _kindOfRegion.Count << _geometry.RegionShift;
        return true;
    }

    /// <summary>Never above the limit, not for a moment: idle pages go first, then the bytes are charged.</summary>
    private bool TryChargeLocked(long bytes)
    {
        while (_charged + bytes > _limit)
        {
            if (IdleLocked == 0)
            {
                return false;
            }

            ReleaseIdleLocked();
        }

        _charged += bytes;
        return true;
    }

    private void ReleaseIdleLocked()
    {
        var kind = _large.IdleCount > 0 ? _large : _small;
        var page = kind.TakeIdle(Memory);
        ref var info = ref Memory.Info(page);
        Memory.Decommit(page, 0, info.CommittedBytes);
        _charged -= info.CommittedBytes;
        info.CommittedBytes = 0;
        kind.PutReleased(Memory, page);
        _fewestIdle = Math.Min(_fewestIdle, IdleLocked);
    }

    /// <summary>The free pages of one kind of regions: idle ones are committed, released ones are not. Linked through their infos.</summary>
    private sealed class Kind(bool isLarge)
    {
        private int _firstReleased;

        public bool IsLarge => isLarge;

        public bool HasReleased => _firstReleased != 0;

        public int NextFresh { get; set; }

        public int EndOfRegion { get; set; }

        public int FirstIdle { get; private set; }

        public int IdleCount { get; private set; }

        public void PutIdle(PageMemory memory, int page)
        {
            ref var info = ref memory.Info(page);
            Debug.Assert(info.State != PageState.Free || info.CommittedBytes > 0);
            info.State = PageState.Free;
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
            info.State = PageState.Free;
            info.Next = _firstReleased;
            _firstReleased = page;
        }

        public int TakeReleased(PageMemory memory)
        {
            var page = _firstReleased;
            if (page != 0)
            {
                _firstReleased = memory.Info(page).Next;
            }

            return page;
        }
    }
}
