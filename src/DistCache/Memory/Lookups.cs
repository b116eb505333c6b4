using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>What a look-up found. Expired is <see cref="Miss"/>.</summary>
internal enum LookupOutcome
{
    Miss,
    Hit,
    Tombstone,

    /// <summary>It is there, but the destination is shorter than the value: call again with room for the length that was told.</summary>
    TooSmall,
}

internal enum ApplyOutcome
{
    /// <summary>The entry is held now; or was already, under the same version.</summary>
    Applied,

    /// <summary>A higher version is held; nothing changed.</summary>
    Older,

    /// <summary>The entry is larger than the whole budget; nothing changed.</summary>
    TooLarge,
}

/// <summary>How far a visit of the tier has come. 0 is the start; the number means something to the tier only.</summary>
internal readonly record struct TierCursor(ulong Position);

/// <summary>Sees entries one by one, small ones under the lock of their shard: it may copy, and nothing else.</summary>
internal interface IEntryVisitor
{
    /// <summary>Takes an entry that is not expired; false if there is no room for it now, so that it comes again first next time.</summary>
    bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value);
}

/// <summary>Exact counts since the start, and the present load.</summary>
/// <param name="Entries">Entries held, tombstones too.</param>
/// <param name="Tombstones">Tombstones held.</param>
/// <param name="Bytes">What counts towards the budget: memory that is committed for whatever purpose.</param>
/// <param name="PayloadBytes">Keys and values of the entries held.</param>
/// <param name="TombstoneBytes">What the tombstones take of the budget.</param>
/// <param name="Hits">Look-ups that found a value.</param>
/// <param name="Misses">Look-ups that did not.</param>
/// <param name="EvictedForSize">Values that went for lack of space.</param>
/// <param name="Expired">Entries that went because their time was over.</param>
/// <param name="TombstonesDropped">Tombstones that went for lack of space, before their time.</param>
internal readonly record struct MemoryStatistics(
    long Entries,
    long Tombstones,
    long Bytes,
    long PayloadBytes,
    long TombstoneBytes,
    long Hits,
    long Misses,
    long EvictedForSize,
    long Expired,
    long TombstonesDropped);
