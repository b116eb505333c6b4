namespace DistCache.Hosting;

/// <summary>How far a node is in its life.</summary>
internal enum NodePhase
{
    Starting,
    Joined,

    /// <summary>It hands over, or has left.</summary>
    Leaving,
}
