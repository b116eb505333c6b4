using System.Globalization;

namespace DistCache.ClusterTests;

/// <summary>What became of a call that did not do what it should.</summary>
internal enum Outcome
{
    /// <summary>The cache threw.</summary>
    Failed,

    /// <summary>A read showed something older than what had been acknowledged when it began, or nothing.</summary>
    Older,

    /// <summary>The process ended, or stood still for so long that nobody waited: no promise of the cache is about that.</summary>
    Gone,

    /// <summary>The process was told to stop, and its node has done so: it says that it takes nothing more.</summary>
    Stopped,
}

/// <summary>A call of the load that went wrong: through which node, when, and how.</summary>
internal sealed record FailedCall(int Index, bool IsRead, TimeSpan Began, TimeSpan Ended, Outcome Outcome, string Why)
{
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{(IsRead ? "read" : "write")} through {Cluster.NameOf(Index)} from {Began.TotalSeconds:F3} to {Ended.TotalSeconds:F3} s: {Outcome}, {Why}");
}
