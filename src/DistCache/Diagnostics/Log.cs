using Microsoft.Extensions.Logging;

namespace DistCache.Diagnostics;

/// <summary>
/// Every line that the library logs. Ids by folder: 100 Hosting, 200 Membership, 300 Replication, 400 Memory, 500 Wire. Keys and values
/// are never logged. A state change is logged once, by its owner.
/// </summary>
internal static partial class Log
{
    // 400 Memory

    [LoggerMessage(400, LogLevel.Warning,
        "{Count} tombstones were dropped before their time: they took more than a tenth ({Bytes} bytes) of the memory budget. Removed entries may come back from a node that was away. Raise Memory.SizeLimit.")]
    public static partial void TombstonesDropped(ILogger logger, long count, long bytes);
}
