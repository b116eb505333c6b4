namespace DistCache.Simulation.Membership;

/// <summary>One node with bad links: the others must neither be drawn in nor move data for nothing.</summary>
public sealed class LossScenarios
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    /// <summary>When messages are lost by chance, chance decides when a member is first given up; a minute after that, at the latest, it is over.</summary>
    [Test]
    public void Loss_OnOneNodesLinks_AtMostOneRemovalAndReturnThenNone(
        [Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile, [Values(0.3, 0.8)] double loss, [Values(1, 2, 3)] int seed)
    {
        using var cluster = new Cluster(nodes, profile, seed).Form();
        var victim = cluster.Nodes[1];
        var fault = cluster.Simulation.Elapsed;
        cluster.SetLoss(victim, loss);

        cluster.Simulation.Run(TimeSpan.FromMinutes(5));

        AssertCalm(cluster, victim, cluster.Ownership.FirstChangeSince(fault) ?? fault);
        cluster.Network.Heal();
        cluster.Converge(TimeSpan.FromMinutes(6));
    }

    [Test]
    public void Loss_OneWay_AtMostOneRemovalThenNone(
        [Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile, [Values] bool isDeaf, [Values(1, 2, 3)] int seed)
    {
        using var cluster = new Cluster(nodes, profile, seed).Form();
        var victim = cluster.Nodes[1];
        var fault = cluster.Simulation.Elapsed;
        foreach (var other in cluster.Others(victim))
        {
            cluster.SetLoss(isDeaf ? other : victim, isDeaf ? victim : other, 1);
        }

        cluster.Simulation.Run(TimeSpan.FromMinutes(3));

        AssertCalm(cluster, victim, fault);
        cluster.Network.Heal();
        cluster.Converge((cluster.RedialInterval * 2) + (cluster.SettleWindow * 4));
    }

    [Test]
    public void FlipFlop_TwentySecondsOnAndOff_AtMostOneRemovalAndReturnThenNone(
        [Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile, [Values(1, 2, 3)] int seed)
    {
        using var cluster = new Cluster(nodes, profile, seed).Form();
        var victim = cluster.Nodes[1];
        var fault = cluster.Simulation.Elapsed;
        for (var i = 0; i < 9; i++)
        {
            cluster.Isolate(victim);
            cluster.Simulation.Run(TimeSpan.FromSeconds(20));
            cluster.Network.Heal();
            cluster.Simulation.Run(TimeSpan.FromSeconds(20));
        }

        AssertCalm(cluster, victim, fault);
        cluster.Converge(TimeSpan.FromMinutes(1));
    }

    [TestCase(5)]
    [TestCase(10)]
    public void Network_SlowReorderingAndDuplicating_MovesNothing(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Fast).Form();
        cluster.Network.Default = new Link(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(80), Loss: 0.05, Duplication: 0.3);

        cluster.Simulation.Run(TimeSpan.FromMinutes(3));

        Assert.That(cluster.Nodes.Sum(node => cluster.Ownership.Removals(node, cluster.Nodes)), Is.Zero, () => cluster.Simulation.Describe());
    }

    /// <summary>In the others' tables and in the victim's own.</summary>
    private static void AssertCalm(Cluster cluster, SimulatedNode victim, TimeSpan start)
    {
        var late = start + Minute;
        var others = cluster.Others(victim).ToArray();
        Assert.That(cluster.Ownership.Removals(victim, others), Is.LessThanOrEqualTo(1), () => $"Removals. {cluster.Simulation.Describe()}");
        Assert.That(cluster.Ownership.Returns(victim, others), Is.LessThanOrEqualTo(1), () => $"Returns. {cluster.Simulation.Describe()}");
        Assert.That(cluster.Ownership.Removals(victim, cluster.Nodes, late), Is.Zero, () => $"Late removals. {cluster.Simulation.Describe()}");
        Assert.That(cluster.Ownership.Returns(victim, cluster.Nodes, late), Is.Zero, () => $"Late returns. {cluster.Simulation.Describe()}");
        Assert.That(cluster.Ownership.ChangesOfOthers(victim, others), Is.Zero, () => $"Changes of others. {cluster.Simulation.Describe()}");
        foreach (var other in others)
        {
            Assert.That(cluster.Ownership.Removals(other, [victim]), Is.LessThanOrEqualTo(1), () => $"Removals by the victim. {cluster.Simulation.Describe()}");
            Assert.That(cluster.Ownership.Returns(other, [victim]), Is.LessThanOrEqualTo(1), () => $"Returns by the victim. {cluster.Simulation.Describe()}");
            Assert.That(cluster.Ownership.Removals(other, [victim], late), Is.Zero, () => $"Late removals by the victim. {cluster.Simulation.Describe()}");
            Assert.That(cluster.Ownership.Returns(other, [victim], late), Is.Zero, () => $"Late returns by the victim. {cluster.Simulation.Describe()}");
        }
    }
}
