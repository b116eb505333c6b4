using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>What a message says: who speaks, what its receiver stands accused of, then the rumours that were told least.</summary>
internal sealed class MessageComposer(Beliefs beliefs, RumourQueue rumours)
{
    /// <summary>Without news no gossip is sent.</summary>
    public bool HasNews => !rumours.IsEmpty;

    /// <summary>The records of a probe or a reply. The rumours in it are extra: they do not count as told.</summary>
    /// <param name="to">The receiver, whose own record is told to it where that may be news: only it can refute.</param>
    /// <param name="heardAs">The incarnation that the receiver goes by.</param>
    /// <param name="now">Elapsed milliseconds.</param>
    public IReadOnlyList<MemberRecord> Compose(NodeName to, long heardAs, long now)
    {
        var records = Begin(to, heardAs, now);
        Append(records, rumours.Peek(RumourQueue.MaximumPerMessage - records.Count, name => name == to || name == beliefs.Self.Name), now);
        return records;
    }

    /// <summary>The records of a gossip, whose rumours count as told unless they are given back.</summary>
    public IReadOnlyList<MemberRecord> ComposeGossip(MemberEntry to, out IReadOnlyList<Rumour> told, long now)
    {
        var records = Begin(to.Name, to.Record.Identity.Incarnation, now);
        told = rumours.Take(RumourQueue.MaximumPerMessage - records.Count, beliefs.LiveCount, name => name == to.Name);
        Append(records, told, now);
        return records;
    }

    /// <summary>Everything that is known, this node first.</summary>
    public IReadOnlyList<MemberRecord> ComposeAll(long now)
    {
        List<MemberRecord> records = [beliefs.Tell(beliefs.Self, now)];
        records.AddRange(beliefs.Entries.Where(entry => entry != beliefs.Self).Select(entry => beliefs.Tell(entry, now)));
        return records;
    }

    private List<MemberRecord> Begin(NodeName to, long heardAs, long now)
    {
        List<MemberRecord> records = [beliefs.Tell(beliefs.Self, now)];
        if (beliefs.Find(to) is { } receiver && IsNews(receiver, heardAs, now))
        {
            records.Add(beliefs.Tell(receiver, now));
        }

        return records;
    }

    private void Append(List<MemberRecord> records, IReadOnlyList<Rumour> chosen, long now)
    {
        foreach (var rumour in chosen.Where(rumour => rumour.Record.Identity.Name != beliefs.Self.Name))
        {
            var entry = beliefs.Find(rumour.Record.Identity.Name);
            records.Add(entry is null ? rumour.Record : beliefs.Settling.Tell(rumour.Record, entry, now));
        }
    }

    /// <summary>The receiver is accused, or taken for a later life, or in a quarantine that it may not know of.</summary>
    private bool IsNews(MemberEntry receiver, long heardAs, long now) =>
        receiver.State != MemberState.Alive || receiver.Record.Identity.Incarnation > heardAs || receiver.QuarantinedUntil > now;
}
