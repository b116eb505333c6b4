using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>Who is to lead a write, and whom it has asked so far.</summary>
internal sealed class LeaderSearch
{
    /// <summary>
    /// So many are asked in a round of those whom the writer's table lacks, and so many of the next on the ring: what a round costs must not grow with the
    /// cluster, and loads that are bounded move a slot on by a node or two.
    /// </summary>
    private const int MaximumGuesses = 3;

    private readonly PeerCalls _calls;
    private readonly bool _mayGuess;
    private readonly HashSet<NodeIdentity> _lost = [];

    /// <summary>Who does not own the slot, or not yet, or lacks copies, as he said under the table by which he was asked; in this round.</summary>
    private readonly HashSet<(NodeIdentity Identity, ulong TableHash)> _refused = [];

    /// <summary>Who holds a later version, or has taken this one and knows of a later one; under the table by which he was asked.</summary>
    private readonly HashSet<(NodeIdentity Identity, ulong TableHash)> _ahead = [];
    private bool _tablesDiffer;

    /// <param name="calls">Knows who is believed to answer.</param>
    /// <param name="mayGuess">The value may be sent to members that own its slot by other tables at best.</param>
    /// <param name="lost">The primary, if it could not be sent its copy, and why.</param>
    public LeaderSearch(PeerCalls calls, bool mayGuess, (Member Primary, PeerFault Fault)? lost)
    {
        (_calls, _mayGuess) = (calls, mayGuess);
        if (lost is var (primary, fault))
        {
            GiveUp(primary, fault);
        }
    }

    /// <summary>Somebody was silent for as long as he was waited for: whoever leads now does not wait for him again.</summary>
    public bool HasWaited { get; private set; }

    /// <summary>Somebody was silent, or could not be asked.</summary>
    public bool HasLost => _lost.Count > 0;

    /// <summary>Somebody who said in this round that he cannot lead the write may be able to in a moment, or name another table.</summary>
    public bool IsWorthARest => _refused.Count > 0;

    /// <summary>
    /// The acting primary: the first owner in ring order that is worth waiting for; if there is none, the first that was not asked and may be there. Where
    /// one works by another table, whoever owns the slot by his own leads: likeliest are those whom this table lacks, then the next on the ring.
    /// Null if nobody is left to ask.
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

            // Who was silent in the life before may be so again, and nothing is known of this one yet.
            if (routing.IsSelf(owner) || (_calls.IsUsable(owner) && !_lost.Any(one => one.Name == owner.Name)))
            {
                return owner;
            }

            doubtful ??= owner;
        }

        return doubtful is not null || !_tablesDiffer || !_mayGuess ? doubtful : FindByOtherTables(routing, slot);
    }

    /// <summary>No other owner could be asked after this one.</summary>
    public bool IsLast(Member target, Routing routing, Slot slot)
    {
        foreach (var index in routing.Table.Owners(slot))
        {
            var owner = routing[index];
            if (owner.Record.Identity != target.Record.Identity && Ownership.MayHold(owner) && !WasAsked(owner, routing))
            {
                return false;
            }
        }

        return true;
    }

    public void GiveUp(Member member, PeerReply reply)
    {
        _lost.Add(member.Record.Identity);

        // Any other fault came at once, and may be the writer's alone: others may reach him.
        HasWaited |= reply is PeerFault { Kind: FaultKind.TimedOut };
    }

    /// <summary>He does not own the slot by the table that he names, or is not ready to, or another owner does not take its copy.</summary>
    public void Refuses(Member member, Routing routing, ulong tableHash)
    {
        _tablesDiffer |= tableHash != routing.Table.Hash;
        _refused.Add((member.Record.Identity, routing.Table.Hash));
    }

    /// <summary>He need not be asked any more, and has this version or a later one: so many do by this table.</summary>
    public int IsAhead(Member member, Routing routing)
    {
        _ahead.Add((member.Record.Identity, routing.Table.Hash));
        return _ahead.Count(one => one.TableHash == routing.Table.Hash);
    }

    /// <summary>They may lead it under another stamp. False if there is none.</summary>
    public bool ForgetWhoIsAhead()
    {
        var anyone = _ahead.Count > 0;
        _ahead.Clear();
        return anyone;
    }

    /// <summary>Whoever refused may own the slot by now, and tables may be equal.</summary>
    public void BeginAgain()
    {
        _refused.Clear();
        _tablesDiffer = false;
    }

    /// <summary>Taken before it is looked who was asked: so many in a round, however many of them do not answer.</summary>
    private Member? FindByOtherTables(Routing routing, Slot slot) => routing.LackingFrom(slot).Take(MaximumGuesses)
        .Concat(routing.Table.Successors(slot).Select(index => routing[index]).Where(Ownership.MayHold).Take(MaximumGuesses))
        .FirstOrDefault(member => !routing.IsSelf(member) && _calls.IsUsable(member) && !WasAsked(member, routing));

    private bool WasAsked(Member member, Routing routing)
    {
        var asked = (member.Record.Identity, routing.Table.Hash);
        return _lost.Contains(asked.Identity) || _refused.Contains(asked) || _ahead.Contains(asked);
    }
}
