namespace DistCache;

/// <summary>How many copies there are, and what a read or a write waits for.</summary>
public sealed class ReplicationOptions
{
    /// <summary>An eighth of it, more than a minute, is longer than giving a member up takes among 256 of them.</summary>
    internal static readonly TimeSpan SmallestTombstoneLifetime = TimeSpan.FromMinutes(10);

    /// <summary>
    /// The copies of an entry beside the primary's, 0 to 7; 1 unless set. An acknowledged write survives the crash of so many nodes at
    /// once, with <see cref="WriteAck.All"/>. Each costs its share of memory on every node and a message a write. The largest one
    /// among the members counts for the whole cluster.
    /// </summary>
    public int ReplicaCount { get; set; } = 1;

    /// <summary>How many copies must exist before a write is acknowledged. <see cref="WriteAck.Majority"/> unless set.</summary>
    public WriteAck WriteAck { get; set; } = WriteAck.Majority;

    /// <summary>Who may answer a read. <see cref="ReadFrom.Primary"/> unless set.</summary>
    public ReadFrom ReadFrom { get; set; } = ReadFrom.Primary;

    /// <summary>What a read gives when no owner of its key answers. <see cref="OnReadFailure.Miss"/> unless set.</summary>
    public OnReadFailure OnReadFailure { get; set; } = OnReadFailure.Miss;

    /// <summary>The longest that a read or a write takes, 10 ms to 1 minute; 1 s unless set.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How long "removed" is remembered, 10 minutes to 7 days; 1 hour unless set. Of different ones the shortest counts. Nodes that were apart for seven eighths of it or longer do not
    /// bring their entries back: of two sides that meet again then, the one with fewer members drops all that it holds, also what was
    /// acknowledged there meanwhile. Longer costs memory for what was removed, at most a tenth of the budget.
    /// </summary>
    public TimeSpan TombstoneLifetime { get; set; } = TimeSpan.FromHours(1);

    /// <summary>
    /// Writes fail where fewer members than this are reachable, this node included, so that the smaller side of a split stops
    /// writing; 1 to 256, 1 (never) unless set.
    /// </summary>
    public int MinimumMembers { get; set; } = 1;
}

/// <summary>Who may answer a read.</summary>
public enum ReadFrom
{
    /// <summary>The primary, so that a read sees every write that was acknowledged before it started.</summary>
    Primary,

    /// <summary>This node if it owns the key, else the primary: fewer hops, and perhaps an older value for a moment.</summary>
    Nearest,

    /// <summary>More than half of the owners; the highest version among their answers wins.</summary>
    Majority,
}

/// <summary>What a read gives when no owner of its key answers in time.</summary>
public enum OnReadFailure
{
    /// <summary>A miss: the application goes to its source, as with any cache.</summary>
    Miss,

    /// <summary>A <see cref="DistCacheUnavailableException"/>.</summary>
    Throw,
}
