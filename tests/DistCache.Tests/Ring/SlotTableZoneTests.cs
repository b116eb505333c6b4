using DistCache.Entries;
using DistCache.Ring;

namespace DistCache.Tests.Ring;

internal sealed class SlotTableZoneTests
{
    [TestCase(2, 4, 1)]
    [TestCase(2, 10, 1)]
    [TestCase(2, 10, 2)]
    [TestCase(3, 3, 1)]
    [TestCase(3, 3, 2)]
    [TestCase(3, 9, 2)]
    [TestCase(3, 30, 1)]
    [TestCase(3, 30, 2)]
    [TestCase(3, 99, 1)]
    public void Owners_ZonesOfEqualSize_StandInAsManyZonesAsThereCanBe(int zones, int nodes, int replicaCount)
    {
        foreach (var kind in Enum.GetValues<NodeSets.Kind>())
        {
            var table = SlotTable.Build(NodeSets.Build(kind, 3, nodes, i => $"zone-{i % zones}"), replicaCount);
            Assert.That(TableFacts.SpreadOverZones(table), Is.EqualTo(1), $"{kind}");
            Assert.That(TableFacts.CopyImbalance(table), Is.LessThanOrEqualTo(1.25), $"{kind}");
        }
    }

    [Test]
    public void Owners_OneNodeInAnotherZone_GetsAllItMayHoldAndNoMore([Values(3, 10, 100)] int nodes, [Values(1, 2)] int replicaCount)
    {
        var all = NodeSets.Build(NodeSets.Kind.Pods, 2, nodes, i => i == 1 ? "small" : "large");
        var table = SlotTable.Build(all, replicaCount);
        var small = TableFacts.CopiesByNode(table)[table.IndexOf(all[1].Name)];
        var mayHold = Math.Min(Slot.Count, (int)(1.25 * Slot.Count * table.OwnerCount / nodes));
        Assert.That(small, Is.EqualTo(mayHold));
    }

    [Test]
    public void Owners_RandomZones_NeverPutMoreThanTheBoundOnANode()
    {
        var seed = Environment.TickCount;
        TestContext.Out.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (var round = 0; round < 60; round++)
        {
            var nodes = random.Next(2, 25);
            var zones = random.Next(1, 6);
            var replicaCount = random.Next(8);
            var table = SlotTable.Build(
                NodeSets.Build(NodeSets.Kind.Guids, random.Next(), nodes, _ => $"{random.Next(zones)}"), replicaCount);
            Assert.That(
                TableFacts.CopyImbalance(table), Is.LessThanOrEqualTo(1.25), $"{nodes} nodes, {zones} zones, {replicaCount} replicas");
        }
    }

    [Test]
    public void Owners_Zones_ChangeNoPrimary()
    {
        var without = SlotTable.Build(NodeSets.Build(NodeSets.Kind.Addresses, 4, 12), 1);
        var with = SlotTable.Build(NodeSets.Build(NodeSets.Kind.Addresses, 4, 12, i => $"zone-{i / 4}"), 1);
        Assert.That(Primaries(with), Is.EqualTo(Primaries(without)));
        Assert.That(with.Hash, Is.Not.EqualTo(without.Hash));
    }

    /// <summary>The empty zone is a zone: a node that named none is not taken to stand anywhere and nowhere.</summary>
    [Test]
    public void Owners_SomeNodesWithoutZone_AreOneZoneTogether()
    {
        var table = SlotTable.Build(NodeSets.Build(NodeSets.Kind.Addresses, 4, 12, i => i % 2 == 0 ? "a" : ""), 1);
        Assert.That(TableFacts.SpreadOverZones(table), Is.EqualTo(1));
    }

    [Test]
    public void Build_OneNodeMoreInZonesOfEqualSize_MovesLittleMoreThanItsShare([Values(5, 29)] int count)
    {
        var moved = Enumerable.Range(0, NodeSets.SetCount).Average(set =>
        {
            var nodes = NodeSets.Build(NodeSets.Kind.Addresses, set, count + 1, i => $"zone-{i % 3}");
            return TableFacts.CopiesMoved(SlotTable.Build(nodes[..count], 1), SlotTable.Build(nodes, 1));
        });
        Assert.That(moved, Is.LessThanOrEqualTo(1.10));
    }

    private static IEnumerable<ushort> Primaries(SlotTable table) =>
        Enumerable.Range(0, Slot.Count).Select(slot => table.Owners(new Slot(slot))[0]);
}
