using DistCache.Entries;

namespace DistCache.Peers;

/// <summary>The connection that a request travels on, so that a large transfer never delays a small read, nor either a probe.</summary>
internal enum Lane : byte
{
    Control,
    Data,
    Bulk,
}

/// <summary>
/// What one node asks of another. Memory that a request refers to belongs to its sender until the reply has come, and to the
/// transport of its receiver until the handler's task is complete: whoever wants it for longer copies it.
/// </summary>
internal abstract record PeerRequest
{
    public abstract Lane Lane { get; }

    /// <summary>What it may take longer than others, for the sake of the value that it carries.</summary>
    public virtual TimeSpan ExtraTime => TimeSpan.Zero;

    /// <summary>
    /// A refusal of this question counts as news of the peer: it is answered by a dial that began after it was asked, and not by what an
    /// earlier one came to, of which the sender may know more by now: that the node has started again.
    /// </summary>
    public virtual bool DialsAnew => false;
}

/// <summary>What comes back: one reply for each request, or a <see cref="PeerFault"/>.</summary>
internal abstract record PeerReply
{
    /// <summary>What lends the memory that the reply refers to, if something does.</summary>
    public IDisposable? Loan { get; init; }

    /// <summary>Gives borrowed memory back. Called once by whoever consumes the reply; forgetting it costs garbage, not correctness.</summary>
    public virtual void Release() => Loan?.Dispose();
}

/// <summary>Why there is no reply.</summary>
internal enum FaultKind : byte
{
    /// <summary>There is no connection: refused, broken, or its name does not resolve.</summary>
    Unreachable,

    /// <summary>Nothing came in time.</summary>
    TimedOut,

    /// <summary>The peer refused the handshake: another cluster, protocol or secret.</summary>
    Refused,

    /// <summary>The address is this node's own.</summary>
    Self,

    /// <summary>The peer does not know this kind of request, or could not read it.</summary>
    Unsupported,

    /// <summary>The peer failed while it handled the request.</summary>
    Failed,

    /// <summary>
    /// The address itself refused the connection (ECONNREFUSED): its machine is there and nobody listens. Unlike <see cref="Unreachable"/> this is
    /// evidence of death, so neither an unknown host, nor a missing route, nor a connection that was accepted and then reset may be reported as
    /// it: a node with too many connections and a proxy in front of one reset them too.
    /// </summary>
    NotListening,
}

/// <summary>A missing reply is a result and not an exception: a dead peer is daily business.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Reason">For the log; says what was got and what was expected.</param>
internal sealed record PeerFault(FaultKind Kind, string Reason) : PeerReply
{
    public static readonly PeerFault TimedOut = new(FaultKind.TimedOut, "No reply in time.");

    /// <summary>The same on the bulk lane. Whoever is slow with a large value may answer small questions at once.</summary>
    public static readonly PeerFault LargeTimedOut = new(FaultKind.TimedOut, "No reply in time, of a large value or about one.");
}

/// <summary>An entry as it travels: to a replica, in a transfer, in a repair.</summary>
internal sealed record EntryRecord(
    ReadOnlyMemory<byte> Key, EntryVersion Version, RemainingTime Remaining, EntryFlags Flags, ReadOnlyMemory<byte> Value);
