using System.Diagnostics.Metrics;

namespace DistCache.Diagnostics;

/// <summary>Every instrument of the library, on the meter "DistCache". Nothing is tagged with a key or a value.</summary>
internal static class Metrics
{
    public const string MeterName = "DistCache";

    private static readonly Meter Meter = new(MeterName);

    // Replication

    /// <summary>Copies that this node refused to take, by reason.</summary>
    public static readonly Counter<long> RefusedReplicas = Meter.CreateCounter<long>("distcache.replication.refused", "{entry}");

    /// <summary>Entries that came in by takeover.</summary>
    public static readonly Counter<long> TransferredEntries = Meter.CreateCounter<long>("distcache.replication.transferred", "{entry}");

    public static KeyValuePair<string, object?> Reason(string reason) => new("reason", reason);
}
