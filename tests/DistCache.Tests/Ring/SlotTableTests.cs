using System.Text;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Ring;

namespace DistCache.Tests.Ring;

internal sealed class SlotTableTests
{
    [Test]
    public void Build_NoNodes_IsRefused() =>
        Assert.That(() => SlotTable.Build([], 1), Throws.ArgumentException.With.Message.Contains("got 0"));

    [Test]
    public void Build_TwoNodesOfOneName_IsRefusedWithTheName() =>
        Assert.That(
            () => SlotTable.Build([Node("a"), Node("b"), new RingNode(NodeName.Parse("a"), "other zone")], 1),
            Throws.ArgumentException.With.Message.Contains("name a"));

    [Test]
    public void Build_NegativeReplicaCount_IsRefused() =>
        Assert.That(() => SlotTable.Build([Node("a")], -1), Throws.InstanceOf<ArgumentOutOfRangeException>());

    [TestCase(1, 0, 1)]
    [TestCase(1, 7, 1)]
    [TestCase(2, 1, 2)]
    [TestCase(3, 1, 2)]
    [TestCase(3, 7, 3)]
    [TestCase(10, 0, 1)]
    [TestCase(10, 7, 8)]
    [TestCase(5, int.MaxValue, 5)]
    public void Owners_EverySlot_AreThatManyDifferentNodes(int nodes, int replicaCount, int owners)
    {
        var table = Build(nodes, replicaCount);
        Assert.That(table.ReplicaCount, Is.EqualTo(replicaCount));
        Assert.That(table.OwnerCount, Is.EqualTo(owners));
        for (var slot = 0; slot < Slot.Count; slot++)
        {
            var indexes = table.Owners(new Slot(slot)).ToArray();
            Assert.That(indexes, Has.Length.EqualTo(owners).And.Unique.And.All.LessThan(nodes));
        }
    }

    [Test]
    public void Build_AnyOrderOfNodes_GivesTheSameTable()
    {
        var seed = Environment.TickCount;
        TestContext.Out.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var nodes = NodeSets.Build(NodeSets.Kind.Pods, 12, 17, i => $"zone-{i % 3}").ToArray();
        var table = SlotTable.Build(nodes, 2);
        for (var round = 0; round < 5; round++)
        {
            random.Shuffle(nodes);
            var shuffled = SlotTable.Build(nodes, 2);
            Assert.That(shuffled.Hash, Is.EqualTo(table.Hash));
            Assert.That(shuffled.Nodes, Is.EqualTo(table.Nodes));
            Assert.That(AllOwners(shuffled), Is.EqualTo(AllOwners(table)));
        }
    }

    [Test]
    public void Nodes_AreInTheOrdinalOrderOfTheirNames() =>
        Assert.That(
            SlotTable.Build([Node("b"), Node("a"), Node("B"), Node("a-10"), Node("a-9")], 0).Nodes.Select(node => node.Name.ToString()),
            Is.EqualTo((string[])["B", "a", "a-10", "a-9", "b"]));

    [Test]
    public void IndexOf_EachNode_IsWhereItStandsAndOfAStrangerMinusOne()
    {
        var table = Build(13, 1);
        Assert.That(table.Nodes.Select(node => table.IndexOf(node.Name)), Is.EqualTo(Enumerable.Range(0, 13)));
        Assert.That((string[])["", "0", "10.0.0.13:760", "10.0.0.14:7600", "zzz"], Is.All.Matches<string>(
            name => table.IndexOf(name.Length == 0 ? default : NodeName.Parse(name)) == -1));
    }

    [Test]
    public void ShareOf_Nodes_IsTheirPartOfThePrimaries()
    {
        var table = Build(7, 1);
        var primaries = Enumerable.Range(0, Slot.Count).CountBy(slot => (int)table.Owners(new Slot(slot))[0]).ToDictionary();
        Assert.That(
            Enumerable.Range(0, 7).Select(table.ShareOf), Is.EqualTo(Enumerable.Range(0, 7).Select(node => (double)primaries[node] / Slot.Count)));
        Assert.That(Enumerable.Range(0, 7).Sum(table.ShareOf), Is.EqualTo(1).Within(1e-12));
    }

    [Test]
    public void Successors_EverySlot_AreTheOtherNodesClockwise()
    {
        var table = Build(9, 2);
        var ring = HashRing.Build(table.Nodes);
        for (var slot = 0; slot < Slot.Count; slot += 61)
        {
            var owners = table.Owners(new Slot(slot)).ToArray();
            Assert.That(table.Successors(new Slot(slot)), Is.EqualTo(ring.NodesFrom(new Slot(slot)).Where(node => !owners.Contains(node))));
            Assert.That(table.Successors(new Slot(slot)).Count(), Is.EqualTo(6));
        }
    }

    [Test]
    public void Successors_EveryNodeOwns_IsEmpty() => Assert.That(Build(3, 2).Successors(new Slot(0)), Is.Empty);

    /// <summary>So a slot that the bound spills to a primary further on stays where it would be, as a replica.</summary>
    [Test]
    public void Owners_WithinTheBoundOfCopies_AreTheFirstNodesOfTheRing()
    {
        var table = SlotTable.Build(NodeSets.Build(NodeSets.Kind.Addresses, 13, 10), 1);
        Assert.That(TableFacts.CopyImbalance(table), Is.LessThan(1.19), "the bound must not have bitten, or the test shows nothing");
        var ring = HashRing.Build(table.Nodes);
        var spilled = 0;
        for (var slot = 0; slot < Slot.Count; slot++)
        {
            var first = ring.NodesFrom(new Slot(slot)).Take(2).ToArray();
            Assert.That(table.Owners(new Slot(slot)).ToArray(), Is.EquivalentTo(first));
            spilled += table.Owners(new Slot(slot))[0] == first[0] ? 0 : 1;
        }

        Assert.That(spilled, Is.Positive, "nothing was spilled, so the test shows nothing");
    }

    [Test]
    public void Hash_OtherOwnership_Differs()
    {
        var nodes = NodeSets.Build(NodeSets.Kind.Addresses, 0, 6, i => i % 2 == 0 ? "a" : "b");
        var tables = new[]
        {
            SlotTable.Build(nodes, 1),
            SlotTable.Build(nodes, 0),
            SlotTable.Build(nodes, 2),
            SlotTable.Build(nodes[..5], 1),
            SlotTable.Build([.. nodes[..5], new RingNode(NodeName.Parse("10.0.0.60:7600"), "b")], 1),
            SlotTable.Build([.. nodes[..5], nodes[5] with { Zone = "c" }], 1),
        };
        Assert.That(tables.Select(table => table.Hash), Is.Unique);
    }

    [Test]
    public void Hash_SameOwnership_IsEqualWhateverItWasMadeFrom()
    {
        // Two nodes own everything between them: a higher replica count changes nothing.
        Assert.That(Build(2, 3).Hash, Is.EqualTo(Build(2, 1).Hash));

        // One zone is as good as none.
        Assert.That(
            SlotTable.Build(NodeSets.Build(NodeSets.Kind.Addresses, 0, 5, _ => "a"), 1).Hash,
            Is.EqualTo(SlotTable.Build(NodeSets.Build(NodeSets.Kind.Addresses, 0, 5), 1).Hash));
    }

    [Test]
    public void Owners_LookUpByKey_AllocatesNothing()
    {
        var table = Build(10, 1);
        var key = Encoding.UTF8.GetBytes("session:{42}:basket");
        var sum = LookUp(table, key, 1_000);
        var before = GC.GetAllocatedBytesForCurrentThread();
        sum += LookUp(table, key, 10_000);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
        Assert.That(sum, Is.Positive);
    }

    private static long LookUp(SlotTable table, byte[] key, int times)
    {
        var sum = 1L;
        for (var i = 0; i < times; i++)
        {
            key[0] = (byte)i;
            foreach (var owner in table.Owners(Slot.Of(key)))
            {
                sum += owner;
            }
        }

        return sum;
    }

    private static SlotTable Build(int nodes, int replicaCount) =>
        SlotTable.Build(NodeSets.Build(NodeSets.Kind.Addresses, 0, nodes), replicaCount);

    private static RingNode Node(string name) => new(NodeName.Parse(name), "");

    private static IEnumerable<ushort> AllOwners(SlotTable table) =>
        Enumerable.Range(0, Slot.Count).SelectMany(slot => table.Owners(new Slot(slot)).ToArray());
}
