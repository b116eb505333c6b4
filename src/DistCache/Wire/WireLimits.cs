using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>Every bound of the wire in one place. docs/wire-protocol.md repeats those that a peer must keep.</summary>
internal static class WireLimits
{
    /// <summary>What a node sends in its Hello; another version is refused.</summary>
    public const int ProtocolVersion = 1;

    /// <summary>From the first byte of a dial to the end of the handshake, on both sides; a stranger gets no more of our time.</summary>
    public static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(5);

    /// <summary>
    /// A connection that was silent for so long is pinged by its dialler: often enough that nothing on the way forgets it. A node has three
    /// to each peer and three from each, and every ping wakes two processes.
    /// </summary>
    public static readonly TimeSpan KeepAliveDelay = TimeSpan.FromSeconds(30);

    /// <summary>By its listener, who is only to notice that the dialler has gone: so late that the dialler's pings spare it its own.</summary>
    public static readonly TimeSpan ListenerKeepAliveDelay = TimeSpan.FromSeconds(60);

    /// <summary>Without an answer to the ping in this time the connection is given up.</summary>
    public static readonly TimeSpan KeepAliveTimeout = TimeSpan.FromSeconds(5);

    /// <summary>
    /// So long after a request ran out of time, when the next one does and nothing was heard between them, a lane is given up. Soon, since one
    /// that a cut link has left hanging would otherwise wait for TCP's next repetition, minutes after the link is mended.
    /// </summary>
    public static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The same on the control lane. It is the one that is always asked something, and carries nothing that would be missed: so it is dialled while the
    /// link is cut, and stands as soon as that is mended. Then the other lanes to that address are looked at (<see cref="PeerLane.Wake"/>).
    /// </summary>
    public static readonly TimeSpan LongestControlSilence = TimeSpan.FromSeconds(1);

    /// <summary>A dial that has heard nothing at all from the peer's system tries once more beside what it has begun (<see cref="ConnectRace"/>).</summary>
    public static readonly TimeSpan ConnectInterval = TimeSpan.FromMilliseconds(500);

    /// <summary>After that, until it is really given up: for what has come and was not read yet (<see cref="LaneSilence"/>).</summary>
    public static readonly TimeSpan LastLook = TimeSpan.FromMilliseconds(250);

    /// <summary>
    /// The longest message before the handshake is complete, and all that a dialler may send on a connection until then: a stranger gets no more of
    /// our memory.
    /// </summary>
    public const int HandshakeMessageBytes = 64 << 10;

    /// <summary>
    /// The longest message on the control and data lanes. A value of 64 KiB with its key needs 69 KiB, a full exchange of 1 024 members
    /// with ordinary names 120 KiB. What is longer goes over the bulk lane.
    /// </summary>
    public const int InlineMessageBytes = 256 << 10;

    /// <summary>A chunk while small messages are under way: what takes a processor from them for some ten microseconds at each of five copies.</summary>
    public const int BusyChunkBytes = 32 << 10;

    /// <summary>The rest after a chunk while small messages are under way (<see cref="LargePace"/>).</summary>
    public static readonly TimeSpan ShortestRest = TimeSpan.FromMicroseconds(100);

    /// <summary>No small message came after all: the shortest time that timers measure.</summary>
    public static readonly TimeSpan LongestRest = TimeSpan.FromMilliseconds(1);

    /// <summary>For so long after the last traffic the data lanes are busy: large messages themselves make gaps in it.</summary>
    public static readonly TimeSpan BusyWithin = TimeSpan.FromMilliseconds(5);

    /// <summary>What stands around the bytes of a chunk, generously.</summary>
    public const int ChunkOverheadBytes = 64;

    /// <summary>What stands beside key and value in a message about one entry, generously.</summary>
    public const int OtherFieldsBytes = 256;

    /// <summary>The largest value of all; options may set a lower bound, never a higher one.</summary>
    public const int MaximumValueBytes = LaneLimits.MaximumValueBytes;

    /// <summary>The longest message that travels in chunks: a value and what stands around it, or a batch of a transfer.</summary>
    public const int MaximumMessageBytes = MaximumValueBytes + (1 << 20);

    /// <summary>Requests that a lane has in flight; further callers wait. On the serving side: requests being handled.</summary>
    public const int RequestsInFlight = 65_536;

    /// <summary>Bytes of requests in flight on a lane, or pinned by their handlers; one larger request goes alone.</summary>
    public const int BytesInFlight = 64 << 20;

    /// <summary>Replies that wait for a peer to read them; beyond it no further request of that lane is read.</summary>
    public const int UnsentReplyBytes = 4 << 20;

    /// <summary>Records in one list of members: 256 members and as many that are remembered as dead or gone, twice.</summary>
    public const int MemberRecords = 1_024;

    /// <summary>The reason of a refusal or fault, in bytes of UTF-8.</summary>
    public const int ReasonBytes = 1_024;

    /// <summary>The name of a cluster: 64 characters of at most 4 bytes each.</summary>
    public const int ClusterNameBytes = 256;

    /// <summary>HTTP/2 streams of one connection: a lane needs one, a health probe may use a few.</summary>
    public const int StreamsPerConnection = 4;

    /// <summary>Connections that the port accepts: 256 members with 3 lanes each, twice, and <see cref="Strangers"/>.</summary>
    public const int Connections = 2_560;

    /// <summary>
    /// With those that have to go and are not closed yet, who do not count there: as many again, for a flood that comes faster than it can be closed.
    /// </summary>
    public const int OpenConnections = 2 * Connections;

    /// <summary>Of these, connections that have not proved who they are; beyond it one of them goes. 256 members that start at once dial 768.</summary>
    public const int Strangers = 1_024;

    /// <summary>Strangers of one address before it is taken for the flood: twenty nodes of a machine that start at once have 60.</summary>
    public const int StrangersOfAddress = 64;

    /// <summary>
    /// What a peer may send ahead of our reading, per stream and connection: enough for 250 MB/s at a round trip of a millisecond.
    /// </summary>
    public const int ServerWindowBytes = 256 << 10;

    /// <summary>The same for replies, where the sender is a peer that we dialled ourselves.</summary>
    public const int ClientWindowBytes = 1 << 20;

    /// <summary>The longest message on <paramref name="lane"/>; on the bulk lane longer ones go in chunks.</summary>
    public static int MessageBytes(Lane lane) => lane == Lane.Bulk ? LaneLimits.ChunkBytes + ChunkOverheadBytes : InlineMessageBytes;
}
