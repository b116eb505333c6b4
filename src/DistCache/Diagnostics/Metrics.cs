using System.Diagnostics.Metrics;

namespace DistCache.Diagnostics;

/// <summary>Every instrument of the library, on the meter <c>DistCache</c>.</summary>
internal static class Metrics
{
    private static readonly Meter Meter = new("DistCache");

    // Membership
    private static readonly Counter<long> MemberChanges =
        Meter.CreateCounter<long>("distcache.membership.changes", "{change}", "Members that changed their state, by the new one.");

    private static readonly Counter<long> RefusedRecords =
        Meter.CreateCounter<long>("distcache.membership.refused", "{record}", "Records or messages about members that were not believed, by reason.");

    public static void MemberChanged(MemberState to) => MemberChanges.Add(1, new KeyValuePair<string, object?>("state", to.ToString()));

    public static void RecordRefused(string reason) => RefusedRecords.Add(1, new KeyValuePair<string, object?>("reason", reason));
}
