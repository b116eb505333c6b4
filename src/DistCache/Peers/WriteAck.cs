namespace DistCache;

/// <summary>How many copies must exist before a write is acknowledged; never more than the members that are reachable now.</summary>
public enum WriteAck
{
    /// <summary>More than half of <see cref="ReplicationOptions.ReplicaCount"/> + 1.</summary>
    Majority,

    /// <summary>One: the primary's.</summary>
    Primary,

    /// <summary>All of <see cref="ReplicationOptions.ReplicaCount"/> + 1.</summary>
    All,
}
