using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Diagnostics;

/// <summary>
/// Every line that the library logs. Ids by folder: 100 Hosting, 200 Membership, 300 Replication, 400 Memory, 500 Wire. Keys and values
/// are never logged. A state change is logged once, by its owner.
/// </summary>
internal static partial class Log
{
    // Hosting

    [LoggerMessage(100, LogLevel.Information, "Node {Node} listens on {Address} and sees {Members} members.")]
    public static partial void NodeStarted(ILogger logger, NodeIdentity node, PeerAddress address, int members);

    [LoggerMessage(101, LogLevel.Information, "Node {Node} leaves; handed over: {IsHandedOver}, after {Milliseconds:F0} ms.")]
    public static partial void NodeLeaves(ILogger logger, NodeIdentity node, bool isHandedOver, double milliseconds);

    // Replication

    [LoggerMessage(300, LogLevel.Information, "The table changed: {Nodes} nodes, hash {Hash:x16}; {Slots} slots are to be taken over.")]
    public static partial void TableChanged(ILogger logger, int nodes, ulong hash, int slots);

    [LoggerMessage(301, LogLevel.Information, "Takeover under table {Hash:x16} is complete after {Milliseconds:F0} ms.")]
    public static partial void TakeoverComplete(ILogger logger, ulong hash, double milliseconds);

    [LoggerMessage(302, LogLevel.Debug, "{Count} entries that other nodes own are safe with all of their owners and were let go.")]
    public static partial void EntriesReleased(ILogger logger, int count);

    // Wire

    [LoggerMessage(500, LogLevel.Warning, "A connection from {Peer} to the peer port was turned away: {Reason}")]
    public static partial void ConnectionRefused(ILogger logger, string peer, string reason);

    [LoggerMessage(501, LogLevel.Warning, "A lane from {Peer} was refused: {Reason}")]
    public static partial void LaneRefused(ILogger logger, string peer, string reason);

    [LoggerMessage(502, LogLevel.Warning, "The {Lane} lane to {Peer} ends, because the peer broke the protocol: {Reason}")]
    public static partial void PeerMisbehaved(ILogger logger, PeerAddress peer, Lane lane, string reason);

    [LoggerMessage(503, LogLevel.Information, "The {Lane} lane to {Peer} cannot be dialled: {Reason}")]
    public static partial void DialFailed(ILogger logger, PeerAddress peer, Lane lane, string reason);

    [LoggerMessage(504, LogLevel.Debug, "The {Lane} lane to {Peer} stands; {Identity} answers there.")]
    public static partial void DialSucceeded(ILogger logger, PeerAddress peer, Lane lane, NodeIdentity identity);

    [LoggerMessage(505, LogLevel.Information, "The {Lane} lane to {Peer} broke: {Reason}")]
    public static partial void LaneBroken(ILogger logger, PeerAddress peer, Lane lane, string reason);

    [LoggerMessage(506, LogLevel.Error, "A request of kind {Kind} from {Peer} failed.")]
    public static partial void HandlerFailed(ILogger logger, uint kind, NodeIdentity peer, Exception exception);
}
