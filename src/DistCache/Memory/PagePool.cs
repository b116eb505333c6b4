namespace DistCache.Memory;

/// <summary>
/// The tier's one budget. Every page of every shard comes from here and is charged by what of it is committed; whatever the tier needs
/// besides is charged too. Two kinds of regions: small pages are committed whole (a block of huge pages at a time if the budget is
/// large), large entries' pages only as far as they are filled; where one kind has no addresses left it borrows the other's. Free pages stay committed until the budget needs them or
/// <see cref="Trim"/> finds them idle; then the system gets them back and their addresses wait.
/// </summary>
internal sealed class PagePool : IDisposable
{
    /// <summary>Pages that are given back under one hold of the lock: some tens of microseconds.</summary>
    private const int TrimBatch = 8;

    private readonly Lock _lock = new();
    private readonly long _limit;
    private readonly PageGeometry _geometry;
    private readonly FreePages _small;
    private readonly FreePages _large;
    private readonly List<FreePages> _kindOfRegion = [];
    private long _charged;
    private int _fewestIdle;
    private bool _isPreparing;

    /// <param name="memory">The address space.</param>
    /// <param name="limit">The budget in bytes.</param>
    /// <param name="fixedBytes">What the tier takes of it for ever.</param>
    public PagePool(PageMemory memory, long limit, long fixedBytes)
    {
        Memory = memory;
        (_small, _large) = (new FreePages(memory), new FreePages(memory));
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
            _kindOfRegion[_geometry.RegionOf(page)].Idle.Put(page);
        }
    }

    /// <summary>Gives back to the system what was idle since the last call, but not what is kept ready.</summary>
    public void Trim()
    {
        int left;
        lock (_lock)
        {
            left = Math.Min(_fewestIdle, IdleLocked - _geometry.PagesAhead);
        }

        while (left > 0)
        {
            // Each is a system call, and who needs a page waits.
            lock (_lock)
            {
                left = Math.Min(left, IdleLocked - _geometry.PagesAhead);
                for (var i = 0; i < TrimBatch && left > 0; i++, left--)
                {
                    ReleaseIdleLocked(_large.Idle.Count > 0 ? _large : _small);
                }
            }
        }

        lock (_lock)
        {
            _fewestIdle = IdleLocked;
        }
    }

    public void Dispose() => Memory.Handle.CloseMemory();

    /// <summary>Compares the books with the pages, for tests. Nothing else may run.</summary>
    public void Verify(long fixedBytes)
    {
        long committed = fixedBytes;
        committed += (long)Memory.RegionCount * _geometry.RegionInfoBytes;
        for (var page = _geometry.FirstPage; page < Memory.PageCount; page++)
        {
            committed += Memory.Info(page).CommittedBytes;
        }

        if (committed != _charged || _charged > _limit)
        {
            throw new InvalidOperationException($"{_charged} bytes are charged, {committed} committed, {_limit} allowed.");
        }
    }

    private int IdleLocked => _small.Idle.Count + _large.Idle.Count;

    private bool TryTakeLocked(FreePages kind, int bytes, PageState use, int shard, out int page)
    {
        page = kind.Idle.First;
        if (page != 0)
        {
            var committed = Memory.Info(page).CommittedBytes;
            if (committed < bytes && !TryRecommitLocked(kind, page, committed, bytes))
            {
                return false;
            }

            kind.Idle.Take();
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
    private bool TryRecommitLocked(FreePages kind, int page, int committed, int bytes)
    {
        kind.Idle.Take();
        var done = TryChargeLocked(bytes - committed) && TryCommitLocked(page, bytes, bytes - committed);
        kind.Idle.Put(page);
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

    private bool TryCommitFreshLocked(FreePages kind, int bytes, out int page)
    {
        page = TakeAddressLocked(kind);
        if (page == 0)
        {
            // A region's kind is for ever, but its pages go back to it whoever used them.
            kind = kind == _small ? _large : _small;
            if (kind.Released.Count == 0 && kind.Idle.Count > 0)
            {
                ReleaseIdleLocked(kind);
            }

            page = TakeAddressLocked(kind);
        }

        if (page == 0)
        {
            return false;
        }

        if (TryChargeLocked(bytes) && TryCommitLocked(page, bytes, bytes))
        {
            return true;
        }

        kind.Released.Put(page);
        page = 0;
        return false;
    }

    /// <summary>A page of which nothing is committed; 0 if there is none.</summary>
    private int TakeAddressLocked(FreePages kind)
    {
        if (kind.Released.Count == 0 && TryReserveLocked(kind, 1, out var first, out var end))
        {
            for (var page = end - 1; page >= first; page--)
            {
                kind.Released.Put(page);
            }
        }

        return kind.Released.Take();
    }

    /// <summary>The next pages that were never used: so many blocks, or as many as the region has.</summary>
    private bool TryReserveLocked(FreePages kind, int blocks, out int first, out int end)
    {
        (first, end) = (0, 0);
        if (kind.NextFresh == kind.EndOfRegion && !TryAddRegionLocked(kind))
        {
            return false;
        }

        first = kind.NextFresh;
        end = Math.Min(first + (blocks * _geometry.PagesPerHugeBlock), kind.EndOfRegion);
        kind.NextFresh = end;
        return true;
    }

    /// <summary>
    /// Has more blocks committed before the last ones are used up, and not by a caller: on a virtual machine whose host has to find the
    /// memory first, that was seen to take 5 ms a block. Where they come too late, pages go on one by one.
    /// </summary>
    private void PrepareHugeBlocksLocked()
    {
        var blocks = Math.Max(1, _geometry.PagesAhead / 2 / _geometry.PagesPerHugeBlock);
        var bytes = (long)blocks * SystemMemory.HugeBlockBytes;
        if (_isPreparing
            || _small.Idle.Count >= _geometry.PagesAhead / 2
            // These are used before more addresses are.
            || _small.Released.Count > _geometry.PagesPerHugeBlock
            || _charged + _geometry.RegionInfoBytes + bytes > _limit
            || !Memory.Handle.TryPin())
        {
            return;
        }

        if (!TryReserveLocked(_small, blocks, out var first, out var end))
        {
            Memory.Handle.Unpin();
            return;
        }

        for (var page = first; page < end; page++)
        {
            Memory.Info(page).CommittedBytes = _geometry.PageBytes;
            _charged += _geometry.PageBytes;
        }

        _isPreparing = true;
        ThreadPool.UnsafeQueueUserWorkItem(
            static work => work.Pool.CommitHugeBlocks(work.First, work.End), (Pool: this, First: first, End: end), preferLocal: false);
    }

    private void CommitHugeBlocks(int first, int end)
    {
        Memory.CommitHugeBlocks(first, end);
        lock (_lock)
        {
            for (var page = end - 1; page >= first; page--)
            {
                _small.Idle.Put(page);
            }

            _isPreparing = false;
        }

        Memory.Handle.Unpin();
    }

    private bool TryAddRegionLocked(FreePages kind)
    {
        // Nothing idle goes for a region that there cannot be.
        if (Memory.RegionCount == _geometry.MaximumRegions || !TryChargeLocked(_geometry.RegionInfoBytes))
        {
            return false;
        }

        if (!Memory.TryAddRegion())
        {
            _charged -= _geometry.RegionInfoBytes;
            return false;
        }

        _kindOfRegion.Add(kind);
        (kind.NextFresh, kind.EndOfRegion) = (_geometry.FirstPageOf(Memory.RegionCount - 1), Memory.PageCount);
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

            ReleaseIdleLocked(_large.Idle.Count > 0 ? _large : _small);
        }

        _charged += bytes;
        return true;
    }

    private void ReleaseIdleLocked(FreePages kind)
    {
        var page = kind.Idle.Take();
        ref var info = ref Memory.Info(page);
        Memory.Decommit(page, 0, info.CommittedBytes);
        _charged -= info.CommittedBytes;
        info.CommittedBytes = 0;
        kind.Released.Put(page);
        _fewestIdle = Math.Min(_fewestIdle, IdleLocked);
    }
}
