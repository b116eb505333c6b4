namespace DistCache.Diagnostics;

/// <summary>
/// Every line that the library logs. Ids by folder: 100 Hosting, 200 Membership, 300 Replication, 400 Memory, 500 Wire. Keys and values
/// are never logged. A state change is logged once, by its owner.
/// </summary>
internal static partial class Log
{
}
