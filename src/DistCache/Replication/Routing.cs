using System.Collections.Immutable;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;
using DistCache.Ring;

namespace DistCache.Replication;

/// <summary>
/// An immutable picture of who owns what and who can be asked: a view, the table of its settled members, and what this node has got
/// of the slots that it owns (that part moves on, from importing to owned).
/// </summary>
internal sealed class Routing
{
    /// <summary>The other members that the table lacks and that do not leave, and their own ring: made where somebody asks for it, which is seldom and takes a while.</summary>
    private readonly Lazy<(ImmutableArray<Member> Members, HashRing? Ring)> _lacking;

    public Routing(MembershipView view, SlotTable table, Import import, bool isUnsure = false)
    {
        View = view;
        Table = table;
        Import = import;
        IsUnsure = isUnsure;
        SelfIndex = table.IndexOf(view.Self.Name);
        Origin = view.Self.Record.Identity.Origin;
        Owners = [.. table.Nodes.Select(node => view.Find(node.Name)!)];
        LiveMembers = [.. view.Members.Where(member => member.State is MemberState.Alive or MemberState.Suspect or MemberState.Leaving)];
        _lacking = new Lazy<(ImmutableArray<Member>, HashRing?)>(FindLacking);
        IsAlone = SelfIndex >= 0 && !isUnsure && LiveMembers.All(IsSelf);
    }

    public MembershipView View { get; }

    public SlotTable Table { get; }

    /// <summary>What this node still fetches of the slots that it owns.</summary>
    public Import Import { get; }

    /// <summary>
    /// What this node holds may have been removed and forgotten elsewhere while it stood still: until it knows better it shows nothing of that,
    /// gives nothing away, and leads no write.
    /// </summary>
    public bool IsUnsure { get; }

    /// <summary>This node's index in the table; -1 if it owns nothing, because it is leaving or not settled yet.</summary>
    public int SelfIndex { get; }

    /// <summary>What versions stamped by this node carry.</summary>
    public uint Origin { get; }

    /// <summary>The members that the table has, as it numbers them; one that died lately may be among them.</summary>
    public ImmutableArray<Member> Owners { get; }

    /// <summary>All members that may hold something, this node too.</summary>
    public ImmutableArray<Member> LiveMembers { get; }

    /// <summary>
    /// There is nobody else to ask or to tell, whichever the slot: also where the table has dead members still, or this node has left and was the last one.
    /// </summary>
    public bool IsAlone { get; }

    /// <summary>Whether exactly this life of a node is in the table.</summary>
    public bool Knows(NodeIdentity identity) => Table.IndexOf(identity.Name) is >= 0 and var index && Owners[index].Record.Identity == identity;

    public Member this[ushort index] => Owners[index];

    public bool IsSelf(Member member) => member.Name == View.Self.Name;

    /// <summary>What this node's word about the slot is worth.</summary>
    public Standing StandingOf(Slot slot)
    {
        var owners = Table.Owners(slot);
        var position = owners.IndexOf((ushort)SelfIndex);
        if (SelfIndex < 0 || position < 0 || IsUnsure)
        {
            return Standing.Holder;
        }

        return Import.IsPending(slot) ? Standing.Importing : position == 0 ? Standing.Primary : Standing.Replica;
    }

    /// <summary>
    /// The other members that the table lacks and that do not leave, in the order in which they are met clockwise from the slot on: where they join, the first of them is the
    /// likeliest to own it.
    /// </summary>
    public IEnumerable<Member> LackingFrom(Slot slot) =>
        _lacking.Value is (var members, { } ring) ? ring.NodesFrom(slot).Select(index => members[index]) : [];

    private (ImmutableArray<Member> Members, HashRing? Ring) FindLacking()
    {
        ImmutableArray<Member> members = [.. LiveMembers.Where(member => !IsSelf(member) && member.State != MemberState.Leaving && Table.IndexOf(member.Name) < 0)];
        return (members, members.IsEmpty ? null : HashRing.Build([.. members.Select(static member => new RingNode(member.Name, member.Record.Zone))]));
    }
}
