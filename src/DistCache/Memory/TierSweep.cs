using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache.Memory;

/// <summary>What a <see cref="Sweeper"/> does in one round, and what it tells of what went since the last one. One round at a time.</summary>
internal sealed class TierSweep(TimeProvider time, ILogger logger)
{
    /// <summary>While tombstones are dropped all the time, one line in this time says so.</summary>
    private static readonly TimeSpan DroppedLogInterval = TimeSpan.FromMinutes(10);

    private MemoryStatistics _told;
    private long _droppedUntold;
    private long? _droppedToldAt;

    /// <summary>Removes what is expired, empties sparse pages, gives idle memory back.</summary>
    public void Run(TierMemory memory)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var pages = memory.Pool.PageCount;
        for (var page = memory.Pool.Memory.Geometry.FirstPage; page < pages; page++)
        {
            if (memory.MayBeDue(page, now, out var shard))
            {
                while (memory.Shards[shard].SweepPage(page, now))
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
