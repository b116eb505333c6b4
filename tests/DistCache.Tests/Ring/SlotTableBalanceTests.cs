using DistCache.Ring;

namespace DistCache.Tests.Ring;

/// <summary>The numbers of docs/decisions/0003-bounded-loads.md, for names as clusters have them.</summary>
internal sealed class SlotTableBalanceTests
{
    [Test]
    public void Build_AnyNames_SharesPrimariesAndCopiesEvenly(
        [Values(3, 5, 10, 30, 100)] int count, [Values] NodeSets.Kind kind)
    {
        foreach (var set in Enumerable.Range(0, NodeSets.SetCount))
        {
            var table = SlotTable.Build(NodeSets.Build(kind, set, count), replicaCount: 1);
            Assert.That(TableFacts.PrimaryImbalance(table), Is.LessThanOrEqualTo(1.11), $"primaries, set {set}");
            Assert.That(TableFacts.CopyImbalance(table), Is.LessThanOrEqualTo(1.20), $"copies, set {set}");
        }
    }

    [Test]
    public void Build_OneNodeMore_MovesLittleMoreThanItsShare(
        [Values(3, 5, 10, 30, 100)] int count, [Values] NodeSets.Kind kind)
    {
        var joins = Enumerable.Range(0, NodeSets.SetCount).Select(set => Join(NodeSets.Build(kind, set, count + 1))).ToList();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(joins.Average(join => join.Primaries), Is.LessThanOrEqualTo(1.12), "primaries, mean");
            Assert.That(joins.Max(join => join.Primaries), Is.LessThanOrEqualTo(1.25), "primaries, worst");
            Assert.That(joins.Average(join => join.Copies), Is.LessThanOrEqualTo(1.05), "copies, mean");
            Assert.That(joins.Max(join => join.Copies), Is.LessThanOrEqualTo(1.20), "copies, worst");
        }
    }

    /// <summary>Every primary that does not move to the new node was moved for the sake of the bound.</summary>
    [Test]
    public void Build_OneNodeMoreBelowTheBound_TakesFromAllAndChangesNothingElse()
    {
        var nodes = NodeSets.Build(NodeSets.Kind.Addresses, 1, 4);
        var before = SlotTable.Build(nodes[..3], replicaCount: 0);
        var after = SlotTable.Build(nodes, replicaCount: 0);
        Assert.That(TableFacts.PrimaryImbalance(before), Is.LessThan(1.09), "the bound must not have bitten, or the test shows nothing");
        Assert.That(TableFacts.PrimaryImbalance(after), Is.LessThan(1.09), "the bound must not have bitten, or the test shows nothing");
        for (var slot = 0; slot < DistCache.Entries.Slot.Count; slot++)
        {
            var now = TableFacts.NamesOf(after, slot)[0];
            Assert.That(now, Is.EqualTo(TableFacts.NamesOf(before, slot)[0]).Or.EqualTo(nodes[3].Name.ToString()));
        }
    }

    [Test]
    public void Build_LargestCluster_StaysWithinTheBounds([Values(0, 1, 3)] int replicaCount)
    {
        var table = SlotTable.Build(NodeSets.Build(NodeSets.Kind.Guids, 0, 256), replicaCount);
        Assert.That(TableFacts.PrimaryImbalance(table), Is.LessThanOrEqualTo(1.10 + (256.0 / DistCache.Entries.Slot.Count)));
        Assert.That(TableFacts.CopyImbalance(table), Is.LessThanOrEqualTo(1.20));
    }

    private static (double Primaries, double Copies) Join(List<RingNode> nodes)
    {
        var before = SlotTable.Build(nodes[..^1], replicaCount: 1);
        var after = SlotTable.Build(nodes, replicaCount: 1);
        return (TableFacts.PrimariesMoved(before, after), TableFacts.CopiesMoved(before, after));
    }
}
