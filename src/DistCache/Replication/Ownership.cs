using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;
using DistCache.Ring;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Turns views into tables, and decides which slots must be taken over when the table changes. One writer
/// (<see cref="Update"/>, called in order by membership); readers take <see cref="Current"/> once and work with that.
/// </summary>
internal sealed class Ownership(MembershipView view, int replicaCount, ILogger logger)
{
    private volatile Routing _current = First(view, replicaCount);

    /// <summary>Anything about the members changed.</summary>
    public event Action<Routing>? RoutingChanged;

    /// <summary>The table changed; the new routing names what is to be imported.</summary>
    public event Action<Routing>? TableChanged;

    public Routing Current => _current;

    /// <summary>Takes a new view. Calls must not overlap.</summary>
    public void Update(MembershipView newView)
    {
        var old = _current;
        var settled = SettledOf(newView);
        if (settled.Count == 0 || !IsNews(old, settled))
        {
            Publish(new Routing(newView, old.Table, old.Import));
            return;
        }

        var table = IsSameTable(old.Table, settled, replicaCount) ? old.Table : BuildTable(settled, replicaCount);
        var routing = new Routing(newView, table, ImportFor(old, newView, table));
        Publish(routing);
        Log.TableChanged(logger, table.Nodes.Length, table.Hash, routing.Import.PendingSlots().Count);
        TableChanged?.Invoke(routing);
    }

    private void Publish(Routing routing)
    {
        _current = routing;
        RoutingChanged?.Invoke(routing);
    }

    public static bool MayHold(Member member) => member.State is MemberState.Alive or MemberState.Suspect or MemberState.Leaving;

    private static Routing First(MembershipView view, int replicaCount) =>
        new(view, BuildTable([view.Self], replicaCount), Import.Nothing());

    private static List<Member> SettledOf(MembershipView view) => [.. view.Members.Where(member => member.IsSettled)];

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
    /// Where this node must look for what it owns now. Slots that it newly owns, newly leads or was still importing: at every other
    /// member. The rest: at members that were not in the old table, or not in this life, since they may come from another side of a
    /// split, or have written before they joined.
    /// </summary>
    private static Import ImportFor(Routing old, MembershipView view, SlotTable table)
    {
        var (owned, taken) = SlotsOf(old, table, view.Self.Name);
        return new Import(view.Members
            .Where(member => member.Name != view.Self.Name && MayHold(member))
            .Select(member => (member, old.Knows(member.Record.Identity) ? taken : owned)));
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
