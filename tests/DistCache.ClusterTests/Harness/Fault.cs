using System.Globalization;

namespace DistCache.ClusterTests;

internal enum FaultKind
{
    /// <summary>Killed, and started when the others had given it up.</summary>
    Crash,

    /// <summary>Killed, and started at once.</summary>
    QuickCrash,

    /// <summary>Stopped gracefully, and started when the others had let it go.</summary>
    Stop,

    /// <summary>It stood still for a while.</summary>
    Pause,

    /// <summary>The machine gave it no threads or no processors for a while.</summary>
    Starved,
}

/// <summary>What was done to a node: from when to when, and until when all agreed again and had fetched what they own.</summary>
internal sealed record Fault(FaultKind Kind, int Index, TimeSpan Began, TimeSpan Ended, TimeSpan Healed)
{
    /// <summary>It is why the call failed: that was under way through this process at some time of the fault; or the cache promises nothing then.</summary>
    public bool Explains(FailedCall call) => call.Outcome switch
    {
        Outcome.Gone => !StandsStill && IsUnder(call),
        Outcome.Stopped => Kind == FaultKind.Stop && IsUnder(call),
        Outcome.Failed => StandsStill && IsUnder(call),
        _ => StandsStill && call.Ended >= Began && call.Began <= Healed,
    };

    private bool StandsStill => Kind is FaultKind.Pause or FaultKind.Starved;

    private bool IsUnder(FailedCall call) => call.Index == Index && call.Ended >= Began && call.Began <= Ended;

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Began.TotalSeconds,6:F1} to {Ended.TotalSeconds:F1} s, healed at {Healed.TotalSeconds:F1} s: {Kind} of {Cluster.NameOf(Index)}");
}
