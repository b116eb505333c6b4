using System.Diagnostics.CodeAnalysis;
using System.Diagnostics.Metrics;

namespace DistCache.Diagnostics;

/// <summary>
/// Every instrument of the library, on the meter "DistCache". Nothing is tagged with a key or a value. What a listener throws goes nowhere, as with
/// <see cref="SafeLogger"/>: it is called in the middle of whatever is counted, on the thread that reads a lane or in a loop that has just met a failure.
/// </summary>
[SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "It is a listener of the application that fails: nobody is left to tell.")]
internal static class Metrics
{
    public const string MeterName = "DistCache";

    private static readonly Meter Meter = new(MeterName);

    // Membership

    private static readonly Counter<long> MemberChanges =
        Meter.CreateCounter<long>("distcache.membership.changes", "{change}", "Members that changed their state, by the new one.");

    private static readonly Counter<long> RefusedRecords = Meter.CreateCounter<long>(
        "distcache.membership.refused", "{record}", "Records or messages about members that were not believed, by reason.");

    public static void MemberChanged(MemberState to) => Count(MemberChanges, 1, Tag("state", to.ToString()));

    public static void RecordRefused(string reason) => Count(RefusedRecords, 1, Reason(reason));

    // Replication

    private static readonly Counter<long> RefusedReplicas = Meter.CreateCounter<long>(
        "distcache.replication.refused", "{entry}", "Copies that this node refused to take, by reason.");

    private static readonly Counter<long> TransferredEntries = Meter.CreateCounter<long>(
        "distcache.replication.transferred", "{entry}", "Entries that came in by takeover.");

    private static readonly Counter<long> ComparedEntries = Meter.CreateCounter<long>(
        "distcache.replication.compared", "{entry}", "Entries whose versions were told to another owner by anti-entropy.");

    private static readonly Counter<long> BackgroundFailures = Meter.CreateCounter<long>(
        "distcache.replication.failures", "{failure}", "Unexpected exceptions of what runs in the background, by part; each goes on with its next round.");

    public static void ReplicaRefused(string reason) => Count(RefusedReplicas, 1, Reason(reason));

    public static void EntriesTransferred(int count) => Count(TransferredEntries, count);

    public static void EntriesCompared(int count) => Count(ComparedEntries, count);

    public static void BackgroundFailed(string part) => Count(BackgroundFailures, 1, Tag("part", part));

    // Wire

    private static readonly Counter<long> RefusedConnections = Meter.CreateCounter<long>(
        "distcache.wire.connections.refused", "{connection}", "Connections and requests to the peer port that were turned away, by reason.");

    private static readonly Counter<long> RefusedLanes = Meter.CreateCounter<long>(
        "distcache.wire.lanes.refused", "{lane}", "Lanes that ended because a peer broke the protocol or is a stranger, by reason.");

    private static readonly Counter<long> UnsupportedMessages = Meter.CreateCounter<long>(
        "distcache.wire.messages.unsupported", "{message}", "Messages of a kind that this version does not know.");

    private static readonly UpDownCounter<long> OpenServedLanes = Meter.CreateUpDownCounter<long>(
        "distcache.wire.lanes.served", "{lane}", "Lanes that peers have open to this node.");

    public static void ConnectionRefused(string reason) => Count(RefusedConnections, 1, Reason(reason));

    public static void LaneRefused(string reason) => Count(RefusedLanes, 1, Reason(reason));

    public static void UnsupportedMessage() => Count(UnsupportedMessages, 1);

    public static void ServedLanes(int change) => Count(OpenServedLanes, change);

    // Memory

    private static readonly Counter<long> RemovedEntries = Meter.CreateCounter<long>(
        "distcache.memory.removed", "{entry}", "Entries that the memory tier let go by itself, by reason; told at each sweep.");

    public static void EntriesRemoved(long count, string reason)
    {
        if (count > 0)
        {
            Count(RemovedEntries, count, Reason(reason));
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
        var name = Tag("operation", operation);
        Count(Operations, 1, name, Tag("result", result));
        Record(OperationDurations, duration.TotalSeconds, name);
    }

    public static void ReadUnanswered() => Count(UnansweredReads, 1);

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

    private static KeyValuePair<string, object?> Tag(string name, string value) => new(name, value);

    private static KeyValuePair<string, object?> Reason(string reason) => Tag("reason", reason);

    private static void Count(Counter<long> counter, long count, params ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        try
        {
            counter.Add(count, tags);
        }
        catch (Exception)
        {
        }
    }

    private static void Count(UpDownCounter<long> counter, long change)
    {
        try
        {
            counter.Add(change);
        }
        catch (Exception)
        {
        }
    }

    private static void Record(Histogram<double> histogram, double value, KeyValuePair<string, object?> tag)
    {
        try
        {
            histogram.Record(value, tag);
        }
        catch (Exception)
        {
        }
    }
}
