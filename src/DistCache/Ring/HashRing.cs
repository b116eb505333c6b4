using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Ring;

/// <summary>
/// The ring of 2^64 positions on which every node has <see cref="VirtualNodes"/> points (Karger et al., "Consistent Hashing and
/// Random Trees", 1997). Slots lie on it in order, each an arc of 2^50 positions that begins at slot number × 2^50; going
/// clockwise from there, the nodes are met in the order of their points. Immutable.
/// </summary>
internal sealed class HashRing
{
    /// <summary>
    /// Points of a node. More of them make shares more even, so that fewer slots are spilled by the bound and fewer move when a node
    /// joins; fewer make a table sooner. Numbers in docs/decisions/0003-bounded-loads.md.
    /// </summary>
    public const int VirtualNodes = 512;

    /// <summary>An arc is 2^50 positions: the upper 14 bits of a hash say on which it lies.</summary>
    private const int ArcShift = 50;

    /// <summary>Room for <c>name#i</c>: the longest name, the separator and three digits.</summary>
    private const int MaximumPointTextBytes = NodeName.MaximumBytes + 4;

    private readonly int[] _starts;
    private readonly ushort[] _points;

    private HashRing(int[] starts, ushort[] points)
    {
        _starts = starts;
        _points = points;
    }

    /// <summary>The number of points: positions are in [0, this).</summary>
    public int PointCount => _points.Length;

    /// <param name="nodes">At least one, in the order of their names, so that points which coincide have one order everywhere.</param>
    public static HashRing Build(ImmutableArray<RingNode> nodes)
    {
        var hashes = HashPoints(nodes);
        var starts = StartsOfArcs(hashes);
        var points = new ushort[hashes.Length];
        SortIntoArcs(hashes, starts, points);

        // Behind the last point the ring goes on with the first.
        for (var arc = 0; arc < starts.Length; arc++)
        {
            starts[arc] %= points.Length;
        }

        return new HashRing(starts, points);
    }

    /// <summary>The position of the first point at or after the beginning of the slot.</summary>
    public int StartOf(Slot slot) => _starts[slot.Number];

    public int Next(int position) => position + 1 == _points.Length ? 0 : position + 1;

    /// <summary>The index of the node whose point stands at <paramref name="position"/>.</summary>
    public ushort NodeAt(int position) => _points[position];

    /// <summary>All nodes in the order in which they are met clockwise from the slot on, each once.</summary>
    public IEnumerable<ushort> NodesFrom(Slot slot)
    {
        var seen = new HashSet<ushort>();
        var position = StartOf(slot);
        for (var steps = 0; steps < _points.Length; steps++)
        {
            if (seen.Add(_points[position]))
            {
                yield return _points[position];
            }

            position = Next(position);
        }
    }

    /// <summary>The hashes of <c>name#0</c>, <c>name#1</c> …, node after node.</summary>
    private static ulong[] HashPoints(ImmutableArray<RingNode> nodes)
    {
        var hashes = new ulong[nodes.Length * VirtualNodes];
        Span<byte> text = stackalloc byte[MaximumPointTextBytes];
        for (var node = 0; node < nodes.Length; node++)
        {
            var nameLength = Encoding.UTF8.GetBytes(nodes[node].Name.ToString(), text);
            text[nameLength++] = (byte)'#';
            for (var i = 0; i < VirtualNodes; i++)
            {
                i.TryFormat(text[nameLength..], out var digits, default, CultureInfo.InvariantCulture);
                hashes[(node * VirtualNodes) + i] = StableHash.Compute(text[..(nameLength + digits)]);
            }
        }

        return hashes;
    }

    /// <summary>For each arc the number of points before it, which is where its own begin once all are sorted.</summary>
    private static int[] StartsOfArcs(ulong[] hashes)
    {
        var starts = new int[Slot.Count];
        foreach (var hash in hashes)
        {
            starts[hash >> ArcShift]++;
        }

        var before = 0;
        for (var arc = 0; arc < starts.Length; arc++)
        {
            (starts[arc], before) = (before, before + starts[arc]);
        }

        return starts;
    }

    /// <summary>
    /// Sorts by arc and, by insertion, within each: arcs hold a handful of points even in the largest cluster, so this takes a tenth
    /// of a general sort. Points of one hash keep the order of their nodes.
    /// </summary>
    private static void SortIntoArcs(ulong[] hashes, int[] starts, ushort[] points)
    {
        var sorted = new ulong[hashes.Length];
        var ends = (int[])starts.Clone();
        for (var i = 0; i < hashes.Length; i++)
        {
            var arc = hashes[i] >> ArcShift;
            var position = ends[arc]++;
            for (; position > starts[arc] && sorted[position - 1] > hashes[i]; position--)
            {
                sorted[position] = sorted[position - 1];
                points[position] = points[position - 1];
            }

            sorted[position] = hashes[i];
            points[position] = (ushort)(i / VirtualNodes);
        }
    }
}
