using System.Collections.Immutable;
using DistCache.Entries;
using DistCache.Ring;

namespace DistCache.Tests.Ring;

internal sealed class HashRingTests
{
    [TestCase(1)]
    [TestCase(3)]
    [TestCase(20)]
    public void Build_Nodes_StandAtTheHashesOfTheirNumberedNames(int count)
    {
        var nodes = Nodes(count);
        var ring = HashRing.Build(nodes);
        var expected = Enumerable.Range(0, count)
            .SelectMany(node => Enumerable.Range(0, HashRing.VirtualNodes).Select(i => (Hash: StableHash.Compute($"{nodes[node].Name}#{i}"), Node: node)))
            .OrderBy(point => point.Hash)
            .ToList();

        Assert.That(ring.PointCount, Is.EqualTo(count * HashRing.VirtualNodes));
        Assert.That(Enumerable.Range(0, ring.PointCount).Select(position => (int)ring.NodeAt(position)), Is.EqualTo(expected.Select(point => point.Node)));
        foreach (var slot in (int[])[0, 1, 2, 4_095, 8_192, 12_739, Slot.Count - 2, Slot.Count - 1])
        {
            var first = expected.FindIndex(point => point.Hash >= (ulong)slot << 50);
            Assert.That(ring.StartOf(new Slot(slot)), Is.EqualTo(Math.Max(0, first)), $"slot {slot}");
        }
    }

    [Test]
    public void StartOf_SlotsInOrder_GoesOnceRoundTheRing()
    {
        var ring = HashRing.Build(Nodes(3));
        var starts = Enumerable.Range(0, Slot.Count).Select(slot => ring.StartOf(new Slot(slot))).ToList();
        var wrapped = starts.SkipWhile((start, slot) => slot == 0 || start >= starts[slot - 1]).ToList();
        Assert.That(starts.Take(Slot.Count - wrapped.Count), Is.Ordered);
        Assert.That(wrapped, Is.All.Zero);
    }

    [Test]
    public void Next_AtTheLastPoint_IsTheFirst()
    {
        var ring = HashRing.Build(Nodes(2));
        Assert.That(ring.Next(0), Is.EqualTo(1));
        Assert.That(ring.Next(ring.PointCount - 1), Is.Zero);
    }

    [Test]
    public void NodesFrom_AnySlot_GivesEachNodeOnceInTheOrderOfTheRing()
    {
        var ring = HashRing.Build(Nodes(10));
        for (var slot = 0; slot < Slot.Count; slot += 97)
        {
            var walk = new List<ushort>();
            for (int steps = 0, position = ring.StartOf(new Slot(slot)); steps < ring.PointCount; steps++, position = ring.Next(position))
            {
                walk.Add(ring.NodeAt(position));
            }

            Assert.That(ring.NodesFrom(new Slot(slot)), Is.EqualTo(walk.Distinct()));
        }
    }

    private static ImmutableArray<RingNode> Nodes(int count) =>
        [.. NodeSets.Build(NodeSets.Kind.Addresses, 0, count).OrderBy(node => node.Name)];
}
