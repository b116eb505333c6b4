namespace DistCache.Peers;

/// <summary>
/// Asks "are you there?"; carries rumours along, as its reply does. The first rumour is the sender's own record, so that a prober
/// whom the target does not know becomes known.
/// </summary>
internal sealed record ProbeRequest(NodeIdentity Target, IReadOnlyList<MemberRecord> Rumours) : PeerRequest
{
    public override Lane Lane => Lane.Control;

    public override bool DialsAnew => true;
}

/// <summary>Answers a probe and a gossip. The first rumour is the answerer's own record: it proves who lives at that address now.</summary>
internal sealed record ProbeReply(IReadOnlyList<MemberRecord> Rumours) : PeerReply;

/// <summary>Asks a third member to probe <paramref name="Target"/>, because the sender did not reach it.</summary>
internal sealed record IndirectProbeRequest(NodeIdentity Target, PeerAddress Address, IReadOnlyList<MemberRecord> Rumours) : PeerRequest
{
    public override Lane Lane => Lane.Control;

    public override bool DialsAnew => true;
}

/// <summary>What became of an indirect probe.</summary>
/// <param name="Reached">The target answered.</param>
/// <param name="Refused">The target's address refused the connection, or somebody else lives there now.</param>
/// <param name="Rumours">Rumours, as everywhere.</param>
internal sealed record IndirectProbeReply(bool Reached, bool Refused, IReadOnlyList<MemberRecord> Rumours) : PeerReply;

/// <summary>Spreads rumours; answered by a <see cref="ProbeReply"/>.</summary>
internal sealed record GossipRequest(IReadOnlyList<MemberRecord> Rumours) : PeerRequest
{
    public override Lane Lane => Lane.Control;
}

/// <summary>Gives all that the sender knows, itself first, and asks for the same: at a join, in a full exchange, in a disagreement.</summary>
internal sealed record ExchangeRequest(IReadOnlyList<MemberRecord> Members) : PeerRequest
{
    public override Lane Lane => Lane.Control;

    public override bool DialsAnew => true;
}

internal sealed record ExchangeReply(IReadOnlyList<MemberRecord> Members) : PeerReply;
