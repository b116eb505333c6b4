using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;
using DistCache.Ring;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Turns views into tables, and decides which slots must be taken over when the table changes. One writer at a time;
/// readers take <see cref="Current"/> once and work with that.
/// </summary>
internal sealed class Ownership(MembershipView view, Absences absences, int replicaCount, ILogger logger)
{
    private readonly Lock _lock = new();
    private volatile MembershipView _members = view;
    private volatile Routing _current = First(view, replicaCount);

    /// <summary>Anything about the members changed.</summary>
    public event Action? RoutingChanged;

    /// <summary>Something is to be imported.</summary>
    public event Action<Routing>? ImportBegins;

    public Routing Current => _current;

    /// <summary>All members, strangers too, which <see cref="Current"/> leaves out.</summary>
    public MembershipView Members => _members;

    /// <summary>This node still works by the table under which it found the owners.</summary>
    public bool IsCurrent(Routing routing) => ReferenceEquals(_current.Table, routing.Table);

    /// <summary>Takes a new view.</summary>
    public void Update(MembershipView newView)
    {
        lock (_lock)
        {
            _members = newView;
        }

        Review();
    }

    /// <summary>Another member, asked at that timestamp, says whom it misses.</summary>
    public void Hear(NodeIdentity from, HoldingsReply told, long askedAt)
    {
        if (absences.Hear(from, told, askedAt, _current, _members))
        {
            Review();
        }
    }

    /// <summary>The same members, and perhaps other strangers among them.</summary>
    public void Review()
    {
        Routing old;
        Routing routing;
        lock (_lock)
        {
            old = _current;
            routing = _current = Next(old, absences.Admit(_members));
        }

        Announce(old, routing);
    }

    /// <summary>
    /// This node did not run for so long, and others may have led its slots meanwhile: it vouches for none until it has compared them
    /// with every other member.
    /// </summary>
    /// <param name="lateness">For how long; null if that is noted already. Called where nobody else can doubt meanwhile.</param>
    /// <param name="noted">The same, when the doubt is there for all to see, and nobody was asked yet, who may ask back.</param>
    public void Doubt(Func<TimeSpan?> lateness, Action noted)
    {
        Routing old;
        Routing routing;
        TimeSpan stoodStill;
        lock (_lock)
        {
            if (lateness() is not { } length)
            {
                return;
            }

            stoodStill = length;
            old = _current;
            absences.StandStill(stoodStill, _members);
            routing = _current = new Routing(old.View, old.Table, ImportFor(old, old.View, old.Table, doubtsAll: true), absences.IsUnsure);
            noted();
        }

        if (routing.IsUnsure && !old.IsUnsure)
        {
            Log.BecameUnsure(logger, stoodStill);
        }

        Announce(old, routing);
    }

    private Routing Next(Routing old, MembershipView view)
    {
        var settled = SettledOf(view);

        // Whoever was suspected was passed over, and doubts itself as after a standstill. Whoever began anew holds nothing.
        var (self, before) = (view.Self.Record, old.View.Self.Record);
        var doubtsAll = self.Identity != before.Identity || self.Refutation > before.Refutation;
        var asksReturned = view.Members.Any(member => HasReturned(member, old) && (old.Knows(member.Record.Identity) || IsOfSmallerSide(view, old)));
        if (!doubtsAll && !asksReturned && !IsNews(old, settled))
        {
            return new Routing(view, old.Table, old.Import, absences.IsUnsure);
        }

        var table = IsSameTable(old.Table, settled, replicaCount) ? old.Table : BuildTable(settled, replicaCount);
        return new Routing(view, table, ImportFor(old, view, table, doubtsAll), absences.IsUnsure);
    }

    /// <summary>Outside the lock; two announcements may overlap, so subscribers take <see cref="Current"/>.</summary>
    private void Announce(Routing old, Routing routing)
    {
        if (!ReferenceEquals(old.Import, routing.Import))
        {
            // In this order: a log that fails must not leave an import that nobody runs.
            var pending = routing.Import.PendingSlots().Count;
            ImportBegins?.Invoke(routing);
            Log.TableChanged(logger, routing.Table.Nodes.Length, routing.Table.Hash, pending);
        }

        RoutingChanged?.Invoke();
    }

    public static bool MayHold(Member member) => member.State is MemberState.Alive or MemberState.Suspect or MemberState.Leaving;

    private static Routing First(MembershipView view, int replicaCount) =>
        new(view, BuildTable([view.Self], replicaCount), Import.Nothing());

    /// <summary>Where nobody who counts is here, because this node leaves and has no successor or the others are strangers, it goes on alone.</summary>
    private static List<Member> SettledOf(MembershipView view)
    {
        List<Member> settled = [.. view.Members.Where(member => member.IsSettled)];
        return settled.Exists(MayHold) ? settled : [view.Self];
    }

    private static int ReplicaCountOf(IEnumerable<Member> settled, int own) => settled.Max(member => Math.Max(own, member.Record.ReplicaCount));

    private static SlotTable BuildTable(List<Member> settled, int own) => SlotTable.Build(
        [.. settled.Select(member => new RingNode(member.Name, member.Record.Zone))], ReplicaCountOf(settled, own));

    private static bool IsSameTable(SlotTable table, List<Member> settled, int own) =>
        table.Nodes.Length == settled.Count
        && table.ReplicaCount == ReplicaCountOf(settled, own)
        && settled.All(member => table.IndexOf(member.Name) is >= 0 and var index && table.Nodes[index].Zone == member.Record.Zone);

    /// <summary>Another table, or another life of a member in it.</summary>
    private bool IsNews(Routing old, List<Member> settled) =>
        !IsSameTable(old.Table, settled, replicaCount) || settled.Exists(member => !old.Knows(member.Record.Identity));

    /// <summary>
    /// It was given up, and is back in the same life. If that was for so short a time that the table did not change, who imported meanwhile did not ask it.
    /// </summary>
    private static bool HasReturned(Member member, Routing old) =>
        MayHold(member) && old.View.Find(member.Name) is { } before && before.Record.Identity == member.Record.Identity && !MayHold(before);

    /// <summary>
    /// As many as own here, or more, are back and do not count for the table yet: until they do this node, which was cut off, would vouch for what they have
    /// overwritten. The larger side does not ask a few that are back for everything that it reads; what they led meanwhile is fetched when they count.
    /// </summary>
    private static bool IsOfSmallerSide(MembershipView view, Routing old) =>
        2 * view.Members.Count(member => MayHold(member) && old.Table.IndexOf(member.Name) < 0) >= view.Members.Count(MayHold);

    /// <summary>
    /// Where this node must look for what it owns now. Slots that it newly owns, newly leads or was still importing: at every other
    /// member. The rest: at members that were not in the old table, or not in this life, or given up, since they may come from another
    /// side of a split, or have written before they joined.
    /// </summary>
    private Import ImportFor(Routing old, MembershipView view, SlotTable table, bool doubtsAll)
    {
        var (owned, taken) = SlotsOf(old, table, view.Self.Name);
        var ledElsewhere = doubtsAll ? [] : LedElsewhere(old, view, table, owned);
        return new Import(view.Members
            .Where(member => member.Name != view.Self.Name && MayHold(member))
            .Select(member => (member, old.Knows(member.Record.Identity) && !HasReturned(member, old) && !doubtsAll ? taken : ledElsewhere.GetValueOrDefault(member.Name, owned))));
    }

    /// <summary>
    /// Of the owned slots what others have had to themselves, who do not count for the table yet: by a table of their own. They are asked for the rest
    /// when they count. After a long cut that may be half of a cluster, and each read would ask them all until then.
    /// </summary>
    private Dictionary<NodeName, SlotSet> LedElsewhere(Routing old, MembershipView view, SlotTable table, SlotSet owned)
    {
        List<Member> aside = [.. view.Members.Where(member => member.State is MemberState.Alive or MemberState.Suspect && table.IndexOf(member.Name) < 0 && !old.Knows(member.Record.Identity))];
        var led = aside.ToDictionary(static member => member.Name, static _ => new SlotSet());
        if (aside.Count == 0)
        {
            return led;
        }

        var theirs = BuildTable(aside, replicaCount);
        foreach (var slot in owned)
        {
            foreach (var owner in theirs.Owners(slot))
            {
                led[theirs.Nodes[owner].Name].Add(slot);
            }
        }

        return led;
    }

    /// <summary>All slots that this node owns, and those among them that it cannot vouch for.</summary>
    private static (SlotSet Owned, SlotSet Taken) SlotsOf(Routing old, SlotTable table, NodeName self)
    {
        var owned = new SlotSet();
        var taken = new SlotSet();
        var index = table.IndexOf(self);
        for (var number = 0; index >= 0 && number < Slot.Count; number++)
        {
            var slot = new Slot(number);
            var position = table.Owners(slot).IndexOf((ushort)index);
            if (position < 0)
            {
                continue;
            }

            owned.Add(slot);
            var before = old.StandingOf(slot);
            if (before is Standing.Holder or Standing.Importing || (position == 0 && before != Standing.Primary))
            {
                taken.Add(slot);
            }
        }

        return (owned, taken);
    }
}
