using System.Collections.Immutable;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Ring;

/// <summary>
/// Works out who owns each slot (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016). Every owner of a
/// slot, the first and the last, is looked for clockwise from the beginning of the slot itself and not from the owner before it:
/// then a slot that was spilled keeps the node that spilled it as a replica, and when the bound lets go of another slot after a
/// join, its primary and its replica change places and no copy moves. Used once, by one build.
/// </summary>
internal sealed class SlotPlacement
{
    /// <summary>No node leads more than 1.10 × its fair share of the slots (and what is left of one slot).</summary>
    private const int PrimaryBoundPercent = 110;

    /// <summary>No node is made a replica where it would hold more than 1.20 × its fair share of copies …</summary>
    private const int CopyBoundPercent = 120;

    /// <summary>… or 1.25 × where that brings a slot to one more zone.</summary>
    private const int ZoneBoundPercent = 125;

    private readonly HashRing _ring;
    private readonly int _ownerCount;
    private readonly int _copyBound;
    private readonly int _zoneBound;
    private readonly int[] _primaryBounds;
    private readonly int[] _copies;
    private readonly int[] _zones;

    /// <summary>By zone, its nodes that are below <see cref="_zoneBound"/>; a zone is open while there is one.</summary>
    private readonly int[] _openNodes;

    private int _openZones;

    public SlotPlacement(ImmutableArray<RingNode> nodes, HashRing ring, int ownerCount)
    {
        _ring = ring;
        _ownerCount = ownerCount;
        _copyBound = (int)((long)Slot.Count * ownerCount * CopyBoundPercent / (100L * nodes.Length));
        _zoneBound = (int)((long)Slot.Count * ownerCount * ZoneBoundPercent / (100L * nodes.Length));
        _primaryBounds = [.. nodes.Select(node => PrimaryBound(node.Name, nodes.Length))];
        _copies = new int[nodes.Length];
        _zones = NumberZones(nodes, out _openZones);
        _openNodes = new int[_openZones];
        foreach (var zone in _zones)
        {
            _openNodes[zone]++;
        }

        Owners = new ushort[Slot.Count * ownerCount];
        PrimaryCounts = new int[nodes.Length];
    }

    /// <summary>Slot after slot, primary first.</summary>
    public ushort[] Owners { get; }

    /// <summary>By node, the slots that it is the primary of.</summary>
    public int[] PrimaryCounts { get; }

    /// <summary>
    /// Rank by rank, and within a rank first the slots that get the node they would get without any bound, then those that are
    /// spilled. So a spilled slot never takes the place of one that belongs there, which would be spilled in turn, and so on:
    /// where all nodes of a small zone are at their bound, a join would move a third more copies.
    /// </summary>
    public void Run()
    {
        var spilled = new List<int>();
        for (var rank = 0; rank < _ownerCount; rank++)
        {
            spilled.Clear();
            for (var slot = 0; slot < Slot.Count; slot++)
            {
                if (!TryPlaceFirstChoice(slot, rank))
                {
                    spilled.Add(slot);
                }
            }

            foreach (var slot in spilled)
            {
                Give(slot, rank, rank == 0 ? FindPrimary(slot) : FindReplica(slot, rank));
            }
        }
    }

    /// <summary>
    /// The bound is a fraction; each node rounds it up or down by its own name. If all rounded alike, then where a join takes the bound
    /// past a whole number every node at it would spill a slot at once.
    /// </summary>
    private static int PrimaryBound(NodeName name, int nodeCount)
    {
        const int FractionBits = 16;
        var bound = ((long)Slot.Count * PrimaryBoundPercent << FractionBits) / (100L * nodeCount);
        var rounding = StableHash.Compute(name.ToString()) >> (64 - FractionBits);
        var fairShare = (Slot.Count + nodeCount - 1) / nodeCount;
        return Math.Max((int)((bound + (long)rounding) >> FractionBits), fairShare);
    }

    private static int[] NumberZones(ImmutableArray<RingNode> nodes, out int count)
    {
        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        var zones = new int[nodes.Length];
        for (var node = 0; node < nodes.Length; node++)
        {
            numbers.TryAdd(nodes[node].Zone, numbers.Count);
            zones[node] = numbers[nodes[node].Zone];
        }

        count = numbers.Count;
        return zones;
    }

    private bool TryPlaceFirstChoice(int slot, int rank)
    {
        var owners = OwnersOf(slot, rank);
        var inAnotherZone = rank > 0 && IsAnotherZoneOpen(owners);
        var node = FindClockwise(slot, owners, int.MaxValue, inAnotherZone)!.Value;
        var isFull = rank == 0
            ? PrimaryCounts[node] >= _primaryBounds[node]
            : _copies[node] >= (inAnotherZone ? _zoneBound : _copyBound);
        if (!isFull)
        {
            Give(slot, rank, node);
        }

        return !isFull;
    }

    private ushort FindPrimary(int slot)
    {
        // Ends, since the bounds sum up to no less than there are slots.
        var position = _ring.StartOf(new Slot(slot));
        while (PrimaryCounts[_ring.NodeAt(position)] >= _primaryBounds[_ring.NodeAt(position)])
        {
            position = _ring.Next(position);
        }

        return _ring.NodeAt(position);
    }

    private ushort FindReplica(int slot, int rank)
    {
        var owners = OwnersOf(slot, rank);
        if (IsAnotherZoneOpen(owners))
        {
            return FindClockwise(slot, owners, _zoneBound, inAnotherZone: true)!.Value;
        }

        // All who do not own the slot can be at the bound only where a sixth of the nodes own it already; no set of names that was
        // tried did it. Then the bound yields: copies come first.
        return FindClockwise(slot, owners, _copyBound, inAnotherZone: false)
            ?? FindClockwise(slot, owners, int.MaxValue, inAnotherZone: false)!.Value;
    }

    private ushort? FindClockwise(int slot, ReadOnlySpan<ushort> owners, int bound, bool inAnotherZone)
    {
        var position = _ring.StartOf(new Slot(slot));
        for (var steps = 0; steps < _ring.PointCount; steps++)
        {
            var node = _ring.NodeAt(position);
            if (_copies[node] < bound && !owners.Contains(node) && !(inAnotherZone && IsZoneTaken(_zones[node], owners)))
            {
                return node;
            }

            position = _ring.Next(position);
        }

        return null;
    }

    /// <summary>There is a node below the bound in a zone that none of <paramref name="owners"/> stands in.</summary>
    private bool IsAnotherZoneOpen(ReadOnlySpan<ushort> owners)
    {
        var openZones = _openZones;
        for (var i = 0; i < owners.Length; i++)
        {
            var zone = _zones[owners[i]];
            if (_openNodes[zone] > 0 && !IsZoneTaken(zone, owners[..i]))
            {
                openZones--;
            }
        }

        return openZones > 0;
    }

    private bool IsZoneTaken(int zone, ReadOnlySpan<ushort> owners)
    {
        foreach (var owner in owners)
        {
            if (_zones[owner] == zone)
            {
                return true;
            }
        }

        return false;
    }

    private ReadOnlySpan<ushort> OwnersOf(int slot, int rank) => Owners.AsSpan(slot * _ownerCount, rank);

    private void Give(int slot, int rank, ushort node)
    {
        Owners[(slot * _ownerCount) + rank] = node;
        PrimaryCounts[node] += rank == 0 ? 1 : 0;
        if (++_copies[node] == _zoneBound && --_openNodes[_zones[node]] == 0)
        {
            _openZones--;
        }
    }
}
