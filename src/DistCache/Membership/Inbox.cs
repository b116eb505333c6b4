using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>Takes the records of a message in: how many may come, and whose word counts for what.</summary>
internal sealed class Inbox(Beliefs beliefs, NameGuard nameGuard, SwimEffects effects)
{
    /// <summary>Records in one exchange: twice what a node holds, since a newer release may remember more.</summary>
    public const int MaximumExchangeRecords = 2 * SwimTiming.MaximumMembers;

    private NodeIdentity? _askedAs;
    private PeerAddress? _whoKnewAnEarlierLife;

    /// <summary>Who is to be asked again, since he did not know of this life; one for each life, and null when taken.</summary>
    public PeerAddress? TakeWhoKnewAnEarlierLife()
    {
        var address = _whoKnewAnEarlierLife;
        _whoKnewAnEarlierLife = null;
        return address;
    }

    /// <summary>Merges rumours; a fault if there are too many to be believed.</summary>
    public PeerFault? Merge(IReadOnlyList<MemberRecord> rumours, NodeIdentity from, Moment now)
    {
        if (rumours.Count > RumourQueue.MaximumPerMessage)
        {
            return TooMany(rumours, RumourQueue.MaximumPerMessage);
        }

        Apply(rumours, from, now);
        return null;
    }

    /// <summary>
    /// Merges all that another knows. While nobody counts for this node's table, it takes over who counts for the other's: both then
    /// build the same.
    /// </summary>
    public PeerFault? MergeExchange(IReadOnlyList<MemberRecord> members, NodeIdentity from, Moment now)
    {
        if (members.Count > MaximumExchangeRecords)
        {
            return TooMany(members, MaximumExchangeRecords);
        }

        var isNew = !beliefs.Entries.Any(entry => entry.IsSettled);
        Apply(members, from, now);
        if (isNew && beliefs.LiveOthers.Any())
        {
            AdoptSettled(members, from, now.Elapsed);
        }

        return null;
    }

    /// <summary>A reply's first record says whose it is.</summary>
    public void MergeReply(PeerReply reply, Moment now)
    {
        switch (reply)
        {
            case ProbeReply { Rumours: [var speaker, ..] } probe:
                Merge(probe.Rumours, speaker.Identity, now);
                break;
            case IndirectProbeReply { Rumours: [var speaker, ..] } probe:
                Merge(probe.Rumours, speaker.Identity, now);
                break;
            case ExchangeReply { Members: [var speaker, ..] } exchange:
                MergeExchange(exchange.Members, speaker.Identity, now);
                break;
        }
    }

    /// <summary>
    /// What a member says of itself, and of this node, always counts. The rest counts only from one that is not believed dead: whoever
    /// was cut off has a picture of the others that is worth nothing before it has refuted.
    /// </summary>
    private void Apply(IReadOnlyList<MemberRecord> records, NodeIdentity from, Moment now)
    {
        foreach (var record in records.Where(record => IsOfEither(record, from)))
        {
            beliefs.Apply(record, from.Name, now);
        }

        if (beliefs.Find(from.Name)?.State is not (MemberState.Dead or MemberState.Left))
        {
            foreach (var record in records.Where(record => !IsOfEither(record, from)))
            {
                beliefs.Apply(record, from.Name, now);
            }
        }

        nameGuard.Check(now);
    }

    private bool IsOfEither(MemberRecord record, NodeIdentity from) =>
        record.Identity.Name == from.Name || record.Identity.Name == beliefs.Self.Name;

    /// <summary>
    /// Of those who live by both, and of the dead who keep their place with him, whom this node may not have looked for yet. Whom he knows in an earlier life keeps
    /// its place with him when he hears of the later one. Nothing from one who knows this node so: whether he still has a place for it then he says when he has
    /// heard of this life.
    /// </summary>
    private void AdoptSettled(IReadOnlyList<MemberRecord> records, NodeIdentity from, long now)
    {
        if (records.Any(record => record.Identity.Name == beliefs.Self.Name && record.Identity != beliefs.Self.Record.Identity))
        {
            _whoKnewAnEarlierLife = _askedAs == beliefs.Self.Record.Identity ? null : beliefs.Find(from.Name)?.Record.Address;
            _askedAs = beliefs.Self.Record.Identity;
            return;
        }

        var told = new List<(MemberEntry, MemberRecord)>();
        foreach (var record in records.Where(static record => record.State is MemberState.Alive or MemberState.Suspect || record.IsDeadInPlace))
        {
            if (beliefs.Find(record.Identity.Name) is { State: MemberState.Alive or MemberState.Suspect or MemberState.Dead } entry
                && (entry.State != MemberState.Dead || record.IsDeadInPlace))
            {
                told.Add((entry, record));
            }
        }

        beliefs.Settling.Adopt(beliefs.Self, told, now);
        effects.IsViewStale = true;
    }

    private PeerFault TooMany(IReadOnlyList<MemberRecord> records, int maximum)
    {
        effects.Disbeliefs.Add(Disbelief.TooManyRecords);
        return new PeerFault(FaultKind.Unsupported, $"{records.Count} records of members; at most {maximum} are expected.");
    }
}
