using Microsoft.Extensions.Logging;

namespace DistCache.Diagnostics;

/// <summary>
/// Every line that the library logs. Ids by folder: 100 Hosting, 200 Membership, 300 Replication, 400 Memory, 500 Wire. Keys and values
/// are never logged. A state change is logged once, by its owner.
/// </summary>
internal static partial class Log
{
    // Replication

    [LoggerMessage(300, LogLevel.Information, "The table changed: {Nodes} nodes, hash {Hash:x16}; {Slots} slots are to be taken over.")]
    public static partial void TableChanged(ILogger logger, int nodes, ulong hash, int slots);

    [LoggerMessage(301, LogLevel.Information, "Takeover under table {Hash:x16} is complete after {Milliseconds:F0} ms.")]
    public static partial void TakeoverComplete(ILogger logger, ulong hash, double milliseconds);

    [LoggerMessage(302, LogLevel.Debug, "{Count} entries that other nodes own are safe with all of their owners and were let go.")]
    public static partial void EntriesReleased(ILogger logger, int count);
}
