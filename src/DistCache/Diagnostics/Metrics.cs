using System.Diagnostics.Metrics;

namespace DistCache.Diagnostics;

/// <summary>Every instrument of the library, on the meter "DistCache". Nothing is tagged with a key or a value.</summary>
internal static class Metrics
{
    public const string MeterName = "DistCache";

    private static readonly Meter Meter = new(MeterName);

    // Membership

    private static readonly Counter<long> MemberChanges =
        Meter.CreateCounter<long>("distcache.membership.changes", "{change}", "Members that changed their state, by the new one.");

    private static readonly Counter<long> RefusedRecords = Meter.CreateCounter<long>(
        "distcache.membership.refused", "{record}", "Records or messages about members that were not believed, by reason.");

    public static void MemberChanged(MemberState to) => MemberChanges.Add(1, new KeyValuePair<string, object?>("state", to.ToString()));

    public static void RecordRefused(string reason) => RefusedRecords.Add(1, Reason(reason));

    // Replication

    /// <summary>Copies that this node refused to take, by reason.</summary>
    public static readonly Counter<long> RefusedReplicas = Meter.CreateCounter<long>("distcache.replication.refused", "{entry}");

    /// <summary>Entries that came in by takeover.</summary>
    public static readonly Counter<long> TransferredEntries = Meter.CreateCounter<long>("distcache.replication.transferred", "{entry}");

    /// <summary>Entries whose versions were told to another owner by anti-entropy.</summary>
    public static readonly Counter<long> ComparedEntries = Meter.CreateCounter<long>("distcache.replication.compared", "{entry}");

    /// <summary>Unexpected exceptions of what runs in the background, by part; each goes on with its next round.</summary>
    public static readonly Counter<long> BackgroundFailures = Meter.CreateCounter<long>("distcache.replication.failures", "{failure}");

    public static KeyValuePair<string, object?> Part(string part) => new("part", part);

    public static KeyValuePair<string, object?> Reason(string reason) => new("reason", reason);

    // Wire

    private static readonly Counter<long> RefusedConnections = Meter.CreateCounter<long>(
        "distcache.wire.connections.refused", "{connection}", "Connections and requests to the peer port that were turned away, by reason.");

    private static readonly Counter<long> RefusedLanes = Meter.CreateCounter<long>(
        "distcache.wire.lanes.refused", "{lane}", "Lanes that ended because a peer broke the protocol or is a stranger, by reason.");

    private static readonly Counter<long> UnsupportedMessages = Meter.CreateCounter<long>(
        "distcache.wire.messages.unsupported", "{message}", "Messages of a kind that this version does not know.");

    private static readonly UpDownCounter<long> OpenServedLanes = Meter.CreateUpDownCounter<long>(
        "distcache.wire.lanes.served", "{lane}", "Lanes that peers have open to this node.");

    public static void ConnectionRefused(string reason) => RefusedConnections.Add(1, Reason(reason));

    public static void LaneRefused(string reason) => RefusedLanes.Add(1, Reason(reason));

    public static void UnsupportedMessage() => UnsupportedMessages.Add(1);

    public static void ServedLanes(int change) => OpenServedLanes.Add(change);

    // Memory

    private static readonly Counter<long> RemovedEntries = Meter.CreateCounter<long>(
        "distcache.memory.removed", "{entry}", "Entries that the memory tier let go by itself, by reason; told at each sweep.");

    public static void EntriesRemoved(long count, string reason)
    {
        if (count > 0)
        {
            RemovedEntries.Add(count, Reason(reason));
        }
    }

    // Operations of the application

    private static readonly Counter<long> Operations = Meter.CreateCounter<long>(
        "distcache.operations", "{operation}", "Operations of the application, by operation and result; of gets: hit, miss or failed.");

    private static readonly Histogram<double> OperationDurations = Meter.CreateHistogram<double>(
        "distcache.operation.duration", "s", "How long operations of the application took, by operation.");

    private static readonly Counter<long> UnansweredReads = Meter.CreateCounter<long>(
        "distcache.reads.unanswered", "{read}", "Reads that no owner answered in time, whether the application was given a miss or an exception.");

    public static bool AreOperationsObserved => Operations.Enabled || OperationDurations.Enabled;

    public static void OperationEnded(string operation, string result, TimeSpan duration)
    {
        var name = new KeyValuePair<string, object?>("operation", operation);
        Operations.Add(1, name, new KeyValuePair<string, object?>("result", result));
        OperationDurations.Record(duration.TotalSeconds, name);
    }

    public static void ReadUnanswered() => UnansweredReads.Add(1);

    // Hosting

    /// <summary>The nodes of this process; they are read when somebody looks.</summary>
    public static readonly NodeGauges Nodes = new();

    private static readonly IReadOnlyList<Instrument> NodeInstruments =
    [
        Gauge("distcache.memory.entries", "{entry}", "Entries held.", static reading => reading.Entries),
        Gauge("distcache.memory.tombstones", "{entry}", "Removed entries that are remembered.", static reading => reading.Tombstones),
        Gauge("distcache.memory.tombstones.used", "By", "Memory taken by them, at most a tenth of the budget.", static reading => reading.TombstoneBytes),
        Gauge("distcache.memory.used", "By", "Memory taken of the budget, with everything.", static reading => reading.UsedBytes),
        Gauge("distcache.memory.limit", "By", "The memory budget.", static reading => reading.LimitBytes),
        Gauge("distcache.takeover.slots", "{slot}", "Slots that the node owns and has not fetched yet; 0 at rest.", static reading => reading.ImportingSlots),
        Meter.CreateObservableUpDownCounter(
            "distcache.members", static () => Nodes.MeasureMembers(), "{member}", "Members of the cluster as the node sees them, by state."),
    ];

    private static ObservableUpDownCounter<long> Gauge(string name, string unit, string description, Func<NodeReading, long> value) =>
        Meter.CreateObservableUpDownCounter(name, () => Nodes.Measure(value), unit, description);
}
