using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>
/// Decides who has this node's name. A record of it with a higher incarnation is either this node's own past, which is outlived, or
/// another live process, to which this node yields: it asks at the record's address before it decides.
/// </summary>
internal sealed class NameGuard(Beliefs beliefs, SwimTiming timing, SwimEffects effects)
{
    private MemberRecord? _asked;

    /// <summary>Another process has the name: this node serves alone.</summary>
    public bool IsNameLost { get; private set; }

    /// <summary>Somebody probed this address for <paramref name="target"/>: if that is a higher life of this name, it is a past one.</summary>
    public void Addressed(NodeIdentity target, Moment now)
    {
        if (target.Incarnation > now.Clock + SwimTiming.MaximumIncarnationLead)
        {
            effects.Disbeliefs.Add(Disbelief.IncarnationTooFarAhead);
            return;
        }

        if (target.Name == beliefs.Self.Name && target.Incarnation > beliefs.Self.Record.Identity.Incarnation)
        {
            beliefs.Outlive(target.Incarnation, now.Elapsed);
        }
    }

    /// <summary>Asks whether the process behind a higher record lives, unless that is being asked already.</summary>
    public void Check(Moment now)
    {
        if (beliefs.Namesake is not { } namesake || _asked is not null)
        {
            return;
        }

        _asked = namesake;
        IReadOnlyList<MemberRecord> records = [beliefs.Tell(beliefs.Self, now.Elapsed)];
        effects.Sends.Add(
            new SwimSend(SendKind.NameCheck, namesake.Address, new ProbeRequest(namesake.Identity, records), 2 * timing.ProbeTimeout));
    }

    public void Replied(PeerReply reply, Moment now)
    {
        var namesake = _asked;
        _asked = null;
        if (namesake is null || namesake.Identity.Incarnation < beliefs.Self.Record.Identity.Incarnation)
        {
            return;
        }

        if (!Prober.IsAnswerOf(namesake.Identity, reply) || IsWeaker(namesake))
        {
            beliefs.Outlive(namesake.Identity.Incarnation, now.Elapsed);
            return;
        }

        IsNameLost = true;
        effects.NameLostTo = namesake.Address;
        beliefs.Abandon(now.Elapsed);
    }

    /// <summary>Two processes that started in the same millisecond: the higher address keeps the name.</summary>
    private bool IsWeaker(MemberRecord namesake) =>
        namesake.Identity.Incarnation == beliefs.Self.Record.Identity.Incarnation
        && string.CompareOrdinal(namesake.Address.ToString(), beliefs.Self.Record.Address.ToString()) < 0;
}
