namespace DistCache;

/// <summary>The options of a DistCache node. Validated when the host starts, or at the first use where there is no host.</summary>
public sealed class DistCacheOptions
{
    /// <summary>Which cluster this node belongs to, and how it is found.</summary>
    public ClusterOptions Cluster { get; } = new();

    /// <summary>How much this node holds.</summary>
    public MemoryOptions Memory { get; } = new();

    /// <summary>How many copies there are, and what a read or a write waits for.</summary>
    public ReplicationOptions Replication { get; } = new();
}
