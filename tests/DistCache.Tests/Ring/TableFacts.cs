using DistCache.Entries;
using DistCache.Ring;

namespace DistCache.Tests.Ring;

/// <summary>What is measured about tables.</summary>
internal static class TableFacts
{
    /// <summary>The largest number of slots that a node leads, over the mean.</summary>
    public static double PrimaryImbalance(SlotTable table) =>
        Enumerable.Range(0, table.Nodes.Length).Max(table.ShareOf) * table.Nodes.Length;

    /// <summary>The largest number of copies that a node holds, over the mean.</summary>
    public static double CopyImbalance(SlotTable table) =>
        (double)CopiesByNode(table).Max() * table.Nodes.Length / (Slot.Count * table.OwnerCount);

    public static int[] CopiesByNode(SlotTable table)
    {
        var copies = new int[table.Nodes.Length];
        for (var slot = 0; slot < Slot.Count; slot++)
        {
            foreach (var owner in table.Owners(new Slot(slot)))
            {
                copies[owner]++;
            }
        }

        return copies;
    }

    /// <summary>The slots that have another primary after a join, over the share that the new node ought to get.</summary>
    public static double PrimariesMoved(SlotTable before, SlotTable after)
    {
        var indexes = IndexesIn(after, before);
        var moved = 0;
        for (var slot = 0; slot < Slot.Count; slot++)
        {
            moved += indexes[before.Owners(new Slot(slot))[0]] == after.Owners(new Slot(slot))[0] ? 0 : 1;
        }

        return (double)moved * after.Nodes.Length / Slot.Count;
    }

    /// <summary>The copies that are at a node which had none of that slot, over the share that the new node ought to get.</summary>
    public static double CopiesMoved(SlotTable before, SlotTable after)
    {
        var indexes = IndexesIn(before, after);
        var moved = 0;
        for (var slot = 0; slot < Slot.Count; slot++)
        {
            foreach (var owner in after.Owners(new Slot(slot)))
            {
                moved += indexes[owner] >= 0 && before.Owners(new Slot(slot)).Contains((ushort)indexes[owner]) ? 0 : 1;
            }
        }

        return (double)moved * after.Nodes.Length / (Slot.Count * after.OwnerCount);
    }

    /// <summary>The part of the slots whose owners stand in as many zones as there can be.</summary>
    public static double SpreadOverZones(SlotTable table)
    {
        var possible = Math.Min(table.OwnerCount, table.Nodes.Select(node => node.Zone).Distinct().Count());
        var spread = Enumerable.Range(0, Slot.Count).Count(
            slot => table.Owners(new Slot(slot)).ToArray().Select(owner => table.Nodes[owner].Zone).Distinct().Count() == possible);
        return (double)spread / Slot.Count;
    }

    public static string[] NamesOf(SlotTable table, int slot)
    {
        var owners = table.Owners(new Slot(slot));
        var names = new string[owners.Length];
        for (var rank = 0; rank < names.Length; rank++)
        {
            names[rank] = table.Nodes[owners[rank]].Name.ToString();
        }

        return names;
    }

    /// <summary>For each node of <paramref name="source"/> its index in <paramref name="target"/>, or −1.</summary>
    private static int[] IndexesIn(SlotTable target, SlotTable source) => [.. source.Nodes.Select(node => target.IndexOf(node.Name))];
}
