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
    /// <summary>
    /// Why the call failed; null if there is no reason for it. A process that was hurt, or, with one copy beside the primary's, two: what they
    /// both own nobody can answer.
    /// </summary>
    public static Fault? FindReason(IReadOnlyCollection<Fault> faults, FailedCall call)
    {
        Fault[] meanwhile = [.. faults.Where(fault => fault.IsMeanwhile(call))];
        return Array.Find(meanwhile, fault => fault.Explains(call))
            ?? (call.Outcome == Outcome.Failed && meanwhile.Select(fault => fault.Index).Distinct().Count() > 1 ? meanwhile[0] : null);
    }

    /// <summary>The call was under way through this process at some time of the fault; or the cache promises nothing then.</summary>
    private bool Explains(FailedCall call) => call.Outcome switch
    {
        Outcome.Gone => !StandsStill && IsUnder(call),
        Outcome.Stopped => Kind == FaultKind.Stop && IsUnder(call),
        Outcome.Failed => StandsStill && IsUnder(call),
        _ => StandsStill,
    };

    private bool StandsStill => Kind is FaultKind.Pause or FaultKind.Starved;

    private bool IsMeanwhile(FailedCall call) => call.Ended >= Began && call.Began <= Healed;

    private bool IsUnder(FailedCall call) => call.Index == Index && IsMeanwhile(call) && call.Began <= Ended;

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Began.TotalSeconds,6:F1} to {Ended.TotalSeconds:F1} s, healed at {Healed.TotalSeconds:F1} s: {Kind} of {Cluster.NameOf(Index)}");
}
