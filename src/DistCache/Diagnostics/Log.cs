using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Diagnostics;

/// <summary>
/// Every line that the library logs. Ids by folder: 100 Hosting, 200 Membership, 300 Replication, 400 Memory, 500 Wire,
/// 600 the cache itself. Keys and values
/// are never logged. A state change is logged once, by its owner.
/// </summary>
internal static partial class Log
{
    // Hosting

    [LoggerMessage(100, LogLevel.Information, "Node {Node} listens on {Address} and sees {Members} members.")]
    public static partial void NodeStarted(ILogger logger, NodeIdentity node, PeerAddress address, int members);

    [LoggerMessage(101, LogLevel.Information, "Node {Node} leaves; handed over: {IsHandedOver}, after {Milliseconds:F0} ms.")]
    public static partial void NodeLeaves(ILogger logger, NodeIdentity node, bool isHandedOver, double milliseconds);

    [LoggerMessage(102, LogLevel.Warning, "Peers are served at {Address}, beyond loopback, without a shared secret or mutual TLS: whoever reaches the port can read and write the cache. Set Cluster.SharedSecret or Cluster.Tls.")]
    public static partial void OpenPort(ILogger logger, PeerAddress address);

    // Membership

    [LoggerMessage(200, LogLevel.Information, "Member {Member}: {From} → {To}, because {Why}.")]
    public static partial void MemberChanged(ILogger logger, NodeIdentity member, string from, MemberState to, string why);

    [LoggerMessage(201, LogLevel.Warning, "Member {Member}: {From} → {To}, because {Why}.")]
    public static partial void MemberFailing(ILogger logger, NodeIdentity member, string from, MemberState to, string why);

    [LoggerMessage(202, LogLevel.Information, "This node is {Member}, {To}, because {Why}.")]
    public static partial void SelfChanged(ILogger logger, NodeIdentity member, MemberState to, string why);

    [LoggerMessage(203, LogLevel.Error, "Another live process, at {Winner}, has this node's name {Name} and a higher incarnation. This node leaves and serves alone: give each node a name of its own.")]
    public static partial void NameLost(ILogger logger, NodeName name, PeerAddress winner);

    [LoggerMessage(204, LogLevel.Information, "Seed {Seed} answers.")]
    public static partial void SeedAnswers(ILogger logger, PeerAddress seed);

    [LoggerMessage(205, LogLevel.Information, "Seed {Seed} does not answer ({Kind}: {Reason}); it is dialled again for ever.")]
    public static partial void SeedDoesNotAnswer(ILogger logger, PeerAddress seed, FaultKind kind, string reason);

    [LoggerMessage(206, LogLevel.Warning, "Seed {Seed} refuses this node: {Reason}")]
    public static partial void SeedRefusesUs(ILogger logger, PeerAddress seed, string reason);

    [LoggerMessage(207, LogLevel.Warning, "Seeds from {Source} are not to be had ({Reason}); they are asked for again at each dial.")]
    public static partial void SeedSourceFails(ILogger logger, string source, string reason);

    [LoggerMessage(208, LogLevel.Information, "Seeds from {Source} are to be had: {Count} addresses.")]
    public static partial void SeedSourceWorks(ILogger logger, string source, int count);

    [LoggerMessage(209, LogLevel.Warning, "A member is refused: there are {Maximum} already.")]
    public static partial void TooManyMembers(ILogger logger, int maximum);

    [LoggerMessage(210, LogLevel.Error, "A subscriber failed on a change of the members.")]
    public static partial void ViewSubscriberFailed(ILogger logger, Exception exception);

    [LoggerMessage(211, LogLevel.Error, "The membership met an unexpected exception and goes on.")]
    public static partial void MembershipFailed(ILogger logger, Exception exception);

    // Replication

    [LoggerMessage(300, LogLevel.Information, "The table changed: {Nodes} nodes, hash {Hash:x16}; {Slots} slots are to be taken over.")]
    public static partial void TableChanged(ILogger logger, int nodes, ulong hash, int slots);

    [LoggerMessage(301, LogLevel.Information, "Takeover under table {Hash:x16} is complete after {Milliseconds:F0} ms.")]
    public static partial void TakeoverComplete(ILogger logger, ulong hash, double milliseconds);

    [LoggerMessage(302, LogLevel.Debug, "{Count} entries that other nodes own are safe with all of their owners and were let go.")]
    public static partial void EntriesReleased(ILogger logger, int count);

    [LoggerMessage(303, LogLevel.Debug, "{Slots} slots differed from those of {Member}; what it lacked was sent.")]
    public static partial void SlotsCompared(ILogger logger, NodeIdentity member, int slots);

    [LoggerMessage(304, LogLevel.Error, "A takeover met an unexpected exception and tries again.")]
    public static partial void TakeoverFailed(ILogger logger, Exception exception);

    [LoggerMessage(305, LogLevel.Error, "{Part} met an unexpected exception and goes on with its next round.")]
    public static partial void BackgroundFailed(ILogger logger, string part, Exception exception);

    [LoggerMessage(306, LogLevel.Warning, "Members that were apart from this side for longer than tombstones live are back; they take no part in it until the smaller side has begun anew: {Strangers}.")]
    public static partial void StrangersMet(ILogger logger, string strangers);

    [LoggerMessage(307, LogLevel.Warning, "This node dropped all that it held and goes on as {Identity}: it was apart from others, or stood still while they went on, for longer than tombstones live.")]
    public static partial void BegunAnew(ILogger logger, NodeIdentity identity);

    [LoggerMessage(308, LogLevel.Warning, "This node stood still for {Duration}, in which others may have removed what it holds and forgotten that: it shows nothing of it until they have answered, or were given up.")]
    public static partial void BecameUnsure(ILogger logger, TimeSpan duration);

    // Memory


    [LoggerMessage(400, LogLevel.Warning,
        "{Count} tombstones were dropped before their time: they took more than a tenth ({Bytes} bytes) of the memory budget. What was removed or has expired may come back from a node that was away. Raise Memory.SizeLimit.")]
    public static partial void TombstonesDropped(ILogger logger, long count, long bytes);

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

    [LoggerMessage(507, LogLevel.Error, "A subscriber failed when it was told that {Peer} cannot be reached.")]
    public static partial void BrokenSubscriberFailed(ILogger logger, PeerAddress peer, Exception exception);

    [LoggerMessage(520, LogLevel.Information, "The certificate for peers was renewed: new connections use {Thumbprint}, valid until {NotAfter:u}.")]
    public static partial void CertificateRenewed(ILogger logger, string thumbprint, DateTime notAfter);

    [LoggerMessage(521, LogLevel.Warning, "The certificate for peers cannot be renewed, the former one is used on. {Problem}")]
    public static partial void CertificateNotRenewed(ILogger logger, string problem);

    // The cache itself

    [LoggerMessage(600, LogLevel.Warning, "A blocking call of the cache was given up after {Milliseconds:F0} ms, because no thread of the pool was free to complete it: the pool has {Threads} threads, and {WorkItems} work items wait for one. Set ThreadPool.SetMinThreads above the number of callers that block at once, or call the asynchronous methods. Said once a minute at the most.")]
    public static partial void ThreadsStarved(ILogger logger, double milliseconds, int threads, long workItems);
}
