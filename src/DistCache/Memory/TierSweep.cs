using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache.Memory;

/// <summary>What a <see cref="Sweeper"/> does in one round, and what it tells of what went since the last one. One round at a time.</summary>
internal sealed class TierSweep(TimeProvider time, ILogger logger)
{
    /// <summary>While tombstones are dropped all the time, one line in this time says so.</summary>
    private static readonly TimeSpan DroppedLogInterval = TimeSpan.FromMinutes(10);

    private long _sweptAt;
    private MemoryStatistics _told;
    private long _droppedUntold;
    private long? _droppedToldAt;

    /// <summary>Removes what is expired, empties sparse pages, gives idle memory back.</summary>
    public void Run(TierMemory memory)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        // When a page is due was told by the clock: where that was set back, all are looked at that anything can be due in.
        var until = now < _sweptAt ? long.MaxValue - 1 : now;
        _sweptAt = now;
        var pages = memory.Pool.PageCount;
        for (var page = memory.Pool.Memory.Geometry.FirstPage; page < pages; page++)
        {
            if (memory.MayBeDue(page, until, out var shard))
            {
                while (memory.Shards[shard].SweepPage(page, now, until))
                {
                }
            }
        }

        foreach (var shard in memory.Shards)
        {
            shard.LeaveTombstones(now);
            while (shard.TryCompact())
            {
            }
        }

        memory.Pool.Trim();
    }

    public void Tell(in MemoryStatistics now, long sizeLimit)
    {
        var told = _told;
        _told = now;
        Metrics.EntriesRemoved(now.EvictedForSize - told.EvictedForSize, "size");
        Metrics.EntriesRemoved(now.Expired - told.Expired, "expired");
        var dropped = now.TombstonesDropped - told.TombstonesDropped;
        Metrics.EntriesRemoved(dropped, "tombstone");
        _droppedUntold += dropped;
        if (_droppedUntold > 0 && (_droppedToldAt is not { } toldAt || time.GetElapsedTime(toldAt) >= DroppedLogInterval))
        {
            Log.TombstonesDropped(logger, _droppedUntold, sizeLimit / TierMemory.TombstoneShare);
            (_droppedUntold, _droppedToldAt) = (0, time.GetTimestamp());
        }
    }
}
