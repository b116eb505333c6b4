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
    private readonly Kind _small = new();
    private readonly Kind _large = new();
    private readonly List<Kind> _kindOfRegion = [];
    private long _charged;
    private int _fewestIdle;
    private bool _isPreparing;

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
            return TryTakeLocked(_large, _geometry.RoundToGranule(bytes), use, shard, out page);
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

    public void Dispose() => Memory.Handle.CloseMemory();

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

        ref var info = ref Memory.Info(page);
        info = new PageInfo { CommittedBytes = info.CommittedBytes, EarliestDue = long.MaxValue };
        info.SetUse(use, shard);
        if (kind == _small && _geometry.UsesHugeBlocks)
        {
            PrepareHugeBlocksLocked();
        }

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
        if (page == 0 && TryReserveLocked(kind, out var first, out var end))
        {
            ReleaseLocked(kind, first, end);
            page = kind.TakeReleased(Memory);
        }

        if (page != 0 && TryChargeLocked(bytes) && TryCommitLocked(page, bytes, bytes))
        {
            return true;
        }

        if (page != 0)
        {
            kind.PutReleased(Memory, page);
        }

        page = 0;
        return false;
    }

    /// <summary>The next pages that were never used, up to where a huge block may begin.</summary>
    private bool TryReserveLocked(Kind kind, out int first, out int end)
    {
        (first, end) = (0, 0);
        if (kind.NextFresh == kind.EndOfRegion && !TryAddRegionLocked(kind))
        {
            return false;
        }

        var block = _geometry.PagesPerHugeBlock;
        first = kind.NextFresh;
        end = Math.Min(((first / block) + 1) * block, kind.EndOfRegion);
        kind.NextFresh = end;
        return true;
    }

    private void ReleaseLocked(Kind kind, int first, int end)
    {
        for (var page = end - 1; page >= first; page--)
        {
            kind.PutReleased(Memory, page);
        }
    }

    /// <summary>
    /// Has another block committed before the last one is used up, and not by a caller: on a virtual machine whose host has to find the
    /// memory first, that was seen to take 5 ms. Meanwhile, pages go on one by one.
    /// </summary>
    private void PrepareHugeBlockLocked()
    {
        var block = _geometry.PagesPerHugeBlock;
        if (!_geometry.UsesHugeBlocks
            || _isPreparing
            || _small.IdleCount >= block / 2
            || _small.ReleasedCount > block
            || _charged + SystemMemory.HugeBlockBytes > _limit
            || !TryReserveLocked(_small, out var first, out var end))
        {
            return;
        }

        var isPinned = end - first == block && Memory.Handle.TryPin();
        if (!isPinned || !TryChargeLocked(SystemMemory.HugeBlockBytes))
        {
            ReleaseLocked(_small, first, end);
            if (isPinned)
            {
                Memory.Handle.Unpin();
            }

            return;
        }

        for (var page = first; page < end; page++)
        {
            Memory.Info(page).CommittedBytes = _geometry.PageBytes;
        }

        _isPreparing = true;
        ThreadPool.UnsafeQueueUserWorkItem(static work => work.Pool.CommitHugeBlock(work.First), (Pool: this, First: first), preferLocal: false);
    }

    private void CommitHugeBlock(int first)
    {
        Memory.CommitHugeBlock(first);
        lock (_lock)
        {
            for (var page = first + _geometry.PagesPerHugeBlock - 1; page >= first; page--)
            {
                _small.PutIdle(Memory, page);
            }

            _isPreparing = false;
        }

        Memory.Handle.Unpin();
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
    private sealed class Kind
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
}
