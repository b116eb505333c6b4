using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>Who is to lead a write, and whom it has asked so far.</summary>
internal sealed class LeaderSearch
{
    private readonly PeerCalls _calls;
    private readonly CopySender _copies;
    private readonly HashSet<NodeIdentity> _silent = [];

    /// <summary>Who had nothing more to say, under the table by which he was asked.</summary>
    private readonly HashSet<(NodeIdentity Identity, ulong TableHash)> _answered = [];

    /// <param name="calls">Knows who is believed to answer.</param>
    /// <param name="copies">Knows the order on the ring.</param>
    /// <param name="silent">The primary, if it gave no answer when it was sent its copy.</param>
    public LeaderSearch(PeerCalls calls, CopySender copies, Member? silent)
    {
        (_calls, _copies) = (calls, copies);
        if (silent is not null)
        {
            GiveUp(silent);
        }
    }

    /// <summary>Somebody gave no answer: whoever leads now does not wait for him.</summary>
    public bool HasGivenUp => _silent.Count > 0;

    /// <summary>Somebody said that he does not own the slot.</summary>
    public bool WasDisowned { get; private set; }

    /// <summary>
    /// The acting primary: the first owner in ring order that is worth waiting for; if there is none, the first that was not asked and may be there. Where
    /// owners say that they are none, tables differ, and whoever owns the slot by his own leads: likeliest are those whom this table lacks, then the next on the
    /// ring. Null if nobody is left to ask.
    /// </summary>
    public Member? Find(Routing routing, Slot slot)
    {
        Member? doubtful = null;
        foreach (var index in routing.Table.Owners(slot))
        {
            var owner = routing[index];
            if (WasAsked(owner, routing) || !Ownership.MayHold(owner) || (routing.IsUnsure && routing.IsSelf(owner)))
            {
                continue;
            }

            if (routing.IsSelf(owner) || _calls.IsUsable(owner))
            {
                return owner;
            }

            doubtful ??= owner;
        }

        return doubtful is not null || !WasDisowned ? doubtful : FindByOtherTables(routing, slot);
    }

    public void GiveUp(Member member) => _silent.Add(member.Record.Identity);

    public void HasAnswered(Member member, Routing routing) => _answered.Add((member.Record.Identity, routing.Table.Hash));

    public void Disowns(Member member, Routing routing)
    {
        WasDisowned = true;
        HasAnswered(member, routing);
    }

    /// <summary>Whoever answered may have another table by now.</summary>
    public void BeginAgain() => _answered.Clear();

    private Member? FindByOtherTables(Routing routing, Slot slot) => routing.LiveMembers
        .Where(member => routing.Table.IndexOf(member.Name) < 0)
        .Concat(_copies.StandIns(routing, slot))
        .FirstOrDefault(member => !routing.IsSelf(member) && _calls.IsUsable(member) && !WasAsked(member, routing));

    private bool WasAsked(Member member, Routing routing) =>
        _silent.Contains(member.Record.Identity) || _answered.Contains((member.Record.Identity, routing.Table.Hash));
}
