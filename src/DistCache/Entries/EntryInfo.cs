namespace DistCache.Entries;

/// <summary>What a node knows of an entry besides its key and value.</summary>
/// <param name="Version">Decides between two copies.</param>
/// <param name="Expiration">When it ends, on this node's clock.</param>
/// <param name="LastAccess">Milliseconds since 1970 on this node's clock; counts only where there is a sliding window.</param>
/// <param name="Flags">What kind of entry it is.</param>
internal readonly record struct EntryInfo(EntryVersion Version, Expiration Expiration, long LastAccess, EntryFlags Flags)
{
    /// <summary>The first moment at which it is expired.</summary>
    public long DueAt => Expiration.DueAt(LastAccess);

    public bool IsTombstone => (Flags & EntryFlags.Tombstone) != 0;

    public RemainingTime ToRemaining(long now) => Expiration.ToRemaining(LastAccess, now);
}

/// <summary>One bit each on the wire.</summary>
[Flags]
internal enum EntryFlags : byte
{
    None = 0,

    /// <summary>Says "removed" under its version; has no value.</summary>
    Tombstone = 1,
}
