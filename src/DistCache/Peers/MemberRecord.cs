namespace DistCache.Peers;

/// <summary>
/// What one node says about a member: a rumour, and a row of a full exchange. Of two records about one name the higher incarnation
/// counts; within it the higher refutation; then the later of the states Alive, Suspect, Leaving, Dead, Left.
/// </summary>
/// <param name="Identity">Name and incarnation.</param>
/// <param name="Refutation">A counter that only the member itself raises: "alive, memory intact".</param>
/// <param name="State">What is said about it.</param>
/// <param name="Address">Where it is dialled.</param>
/// <param name="Zone">Its failure domain; empty if it did not name one.</param>
/// <param name="ReplicaCount">The copies beside the primary that it is configured with.</param>
/// <param name="Accuser">Who found it silent, where <paramref name="State"/> is Suspect; else the default. Different accusers shorten the suspicion.</param>
/// <param name="UnsettledMilliseconds">For how much longer the sender counts it as owning nothing: the rest of the settle window, or of a quarantine; of a dead one, as owning something; 0 = settled.</param>
/// <param name="WaitedMilliseconds">For how long it has waited to be settled; 0 where it does not wait. From this follows until when further changes may postpone it.</param>
internal sealed record MemberRecord(
    NodeIdentity Identity,
    uint Refutation,
    MemberState State,
    PeerAddress Address,
    string Zone,
    int ReplicaCount,
    NodeName Accuser = default,
    int UnsettledMilliseconds = 0,
    int WaitedMilliseconds = 0)
{
    public const int MaximumZoneLength = 64;

    /// <summary>It died so lately that the sender still counts it for the table.</summary>
    public bool IsDeadInPlace => State == MemberState.Dead && UnsettledMilliseconds > 0;
}
