using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>What a message says: who speaks, what its receiver stands accused of, then the rumours that were told least.</summary>
internal sealed class MessageComposer(Beliefs beliefs, RumourQueue rumours)
{
    /// <summary>Without news no gossip is sent.</summary>
    public bool HasNews => !rumours.IsEmpty;

    /// <summary>The records of one message.</summary>
    /// <param name="to">The receiver, whose own record is told to it where that may be news: only it can refute.</param>
    /// <param name="heardAs">The incarnation that the receiver goes by.</param>
    /// <param name="told">What to give back if the message does not arrive.</param>
    /// <param name="now">Elapsed milliseconds.</param>
    public IReadOnlyList<MemberRecord> Compose(NodeName to, long heardAs, out IReadOnlyList<Rumour> told, long now)
    {
        List<MemberRecord> records = [beliefs.Tell(beliefs.Self, now)];
        if (beliefs.Find(to) is { } receiver && IsNews(receiver, heardAs, now))
        {
            records.Add(beliefs.Tell(receiver, now));
        }

        told = rumours.Take(
            RumourQueue.MaximumPerMessage - records.Count, beliefs.LiveCount, name => name == to || name == beliefs.Self.Name);
        foreach (var rumour in told)
        {
            var entry = beliefs.Find(rumour.Record.Identity.Name);
            records.Add(entry is null ? rumour.Record : rumour.Record with { UnsettledMilliseconds = beliefs.Settling.Remaining(entry, now) });
        }

        return records;
    }

    /// <summary>Everything that is known, this node first.</summary>
    public IReadOnlyList<MemberRecord> ComposeAll(long now)
    {
        List<MemberRecord> records = [beliefs.Tell(beliefs.Self, now)];
        records.AddRange(beliefs.Entries.Where(entry => entry != beliefs.Self).Select(entry => beliefs.Tell(entry, now)));
        return records;
    }

    /// <summary>The receiver is accused, or taken for a later life, or in a quarantine that it may not know of.</summary>
    private bool IsNews(MemberEntry receiver, long heardAs, long now) =>
        receiver.State != MemberState.Alive || receiver.Record.Identity.Incarnation > heardAs || receiver.QuarantinedUntil > now;
}
