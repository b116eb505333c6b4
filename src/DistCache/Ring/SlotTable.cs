using System.Collections.Immutable;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Ring;

/// <summary>
/// Slot → owners: a pure function of the nodes and the replica count, the same on every node, machine and release. Immutable; a look-up
/// is one array read.
/// </summary>
internal sealed class SlotTable
{
    private readonly HashRing _ring;
    private readonly ushort[] _owners;
    private readonly int[] _primaryCounts;

    private SlotTable(ImmutableArray<RingNode> nodes, int replicaCount, HashRing ring, SlotPlacement placement)
    {
        Nodes = nodes;
        ReplicaCount = replicaCount;
        OwnerCount = placement.Owners.Length / Slot.Count;
        _ring = ring;
        _owners = placement.Owners;
        _primaryCounts = placement.PrimaryCounts;
        Hash = HashOf(nodes, _owners);
    }

    /// <summary>In the ordinal order of their names; owners are indexes into this.</summary>
    public ImmutableArray<RingNode> Nodes { get; }

    /// <summary>What the table was built for; there are fewer replicas where there are fewer nodes.</summary>
    public int ReplicaCount { get; }

    /// <summary>The owners of a slot: <see cref="ReplicaCount"/> + 1, or all nodes if there are fewer.</summary>
    public int OwnerCount { get; }

    /// <summary>
    /// Taken from the result, the names and who owns what, and not from what it was made of: so two tables of one hash own
    /// equally, even where another release placed slots by other rules.
    /// </summary>
    public ulong Hash { get; }

    /// <param name="nodes">1 to 65 535 nodes of different names, in any order.</param>
    /// <param name="replicaCount">The copies of a slot beside the primary's, 0 or more.</param>
    /// <exception cref="ArgumentException">There is no node, too many, or two of one name.</exception>
    public static SlotTable Build(IReadOnlyCollection<RingNode> nodes, int replicaCount)
    {
        ArgumentNullException.ThrowIfNull(nodes);
        ArgumentOutOfRangeException.ThrowIfNegative(replicaCount);
        if (nodes.Count is 0 or > ushort.MaxValue)
        {
            throw new ArgumentException($"A table has 1 to {ushort.MaxValue} nodes; got {nodes.Count}.", nameof(nodes));
        }

        var ordered = nodes.OrderBy(node => node.Name).ToImmutableArray();
        for (var i = 1; i < ordered.Length; i++)
        {
            if (ordered[i].Name == ordered[i - 1].Name)
            {
                throw new ArgumentException($"Two nodes have the name {ordered[i].Name}.", nameof(nodes));
            }
        }

        var ring = HashRing.Build(ordered);
        var placement = new SlotPlacement(ordered, ring, Math.Min(replicaCount, ordered.Length - 1) + 1);
        placement.Run();
        return new SlotTable(ordered, replicaCount, ring, placement);
    }

    /// <summary>Indexes of the slot's owners: the primary, then its replicas in the order in which they take its place.</summary>
    public ReadOnlySpan<ushort> Owners(Slot slot) => _owners.AsSpan(slot.Number * OwnerCount, OwnerCount);

    /// <summary>The nodes that do not own the slot, in the order in which they stand in for those that do: clockwise from it.</summary>
    public IEnumerable<ushort> Successors(Slot slot) => _ring.NodesFrom(slot).Where(node => !Owners(slot).Contains(node));

    /// <summary>The index of a node, or −1 if it is not among <see cref="Nodes"/>.</summary>
    public int IndexOf(NodeName name)
    {
        var (low, high) = (0, Nodes.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) / 2;
            var order = Nodes[middle].Name.CompareTo(name);
            if (order == 0)
            {
                return middle;
            }

            (low, high) = order < 0 ? (middle + 1, high) : (low, middle - 1);
        }

        return -1;
    }

    /// <summary>The part of all slots that a node is the primary of, 0 to 1.</summary>
    public double ShareOf(int index) => (double)_primaryCounts[index] / Slot.Count;

    private static ulong HashOf(ImmutableArray<RingNode> nodes, ushort[] owners)
    {
        var hash = (ulong)nodes.Length;
        foreach (var node in nodes)
        {
            hash = StableHash.Mix(hash ^ StableHash.Compute(node.Name.ToString()));
        }

        // Owners of all slots follow each other, so their number tells how many each slot has.
        hash = StableHash.Mix(hash ^ (ulong)owners.Length);
        foreach (var owner in owners)
        {
            hash = StableHash.Mix(hash ^ owner);
        }

        return hash;
    }
}
