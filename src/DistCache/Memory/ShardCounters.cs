namespace DistCache.Memory;

/// <summary>What a shard counts, under its lock.</summary>
internal sealed class ShardCounters
{
    public long Tombstones { get; set; }

    /// <summary>Keys and values of the entries held.</summary>
    public long PayloadBytes { get; set; }

    /// <summary>What the tombstones take.</summary>
    public long TombstoneBytes { get; set; }

    /// <summary>Those found under the lock; the others are noted in <see cref="UseNotes"/>, as are misses.</summary>
    public long Hits { get; set; }

    public long Misses { get; set; }

    public long EvictedForSize { get; set; }

    public long Expired { get; set; }

    public long TombstonesDropped { get; set; }

    public MemoryStatistics AddTo(in MemoryStatistics sum, int entries) => sum with
    {
        Entries = sum.Entries + entries,
        Tombstones = sum.Tombstones + Tombstones,
        PayloadBytes = sum.PayloadBytes + PayloadBytes,
        TombstoneBytes = sum.TombstoneBytes + TombstoneBytes,
        Hits = sum.Hits + Hits,
        Misses = sum.Misses + Misses,
        EvictedForSize = sum.EvictedForSize + EvictedForSize,
        Expired = sum.Expired + Expired,
        TombstonesDropped = sum.TombstonesDropped + TombstonesDropped,
    };
}
