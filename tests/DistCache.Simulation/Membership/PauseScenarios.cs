using DistCache.Simulation.Checkers;

namespace DistCache.Simulation.Membership;

/// <summary>A node that stands still, and goes on as if nothing had been.</summary>
public sealed class PauseScenarios
{
    [Test]
    public void Pause_BelowTheMinimumOfTheSuspicion_MovesNothing(
        [Values(3, 5, 10, 100)] int nodes, [Values] ClusterProfile profile, [Values(1, 2, 3)] int seed)
    {
        using var cluster = new Cluster(nodes, profile, seed).Form();
        var states = new StatesSeen();
        cluster.Simulation.Checkers.Add(states);
        var (victim, refutation) = Pause(cluster, cluster.SuspicionMinimum * 0.95);

        Assert.That(states.Of(victim), Does.Contain(MemberState.Suspect), () => cluster.Simulation.Describe());
        Assert.That(Cluster.ViewOf(victim).Self.Record.Refutation, Is.GreaterThan(refutation));

        Assert.That(cluster.Ownership.Removals(victim, cluster.Nodes), Is.Zero, () => cluster.Simulation.Describe());
        AssertMemoryIntact(cluster, victim, refutation);
    }

    [Test]
    public void Pause_AboveTheMaximumOfTheSuspicion_MovesOnce(
        [Values(3, 5, 10, 100)] int nodes, [Values] ClusterProfile profile, [Values(1, 2, 3)] int seed)
    {
        using var cluster = new Cluster(nodes, profile, seed).Form();
        var (victim, refutation) = Pause(cluster, cluster.SuspicionMaximum + (cluster.ProbeInterval * 2) + cluster.SettleWindow);

        var others = cluster.Others(victim).ToArray();
        Assert.That(others.Select(node => cluster.Ownership.Removals(victim, [node])), Is.All.EqualTo(1), () => cluster.Simulation.Describe());
        Assert.That(others.Select(node => cluster.Ownership.Returns(victim, [node])), Is.All.EqualTo(1), () => cluster.Simulation.Describe());
        AssertMemoryIntact(cluster, victim, refutation);
        Assert.That(Cluster.Find(others[0], victim)!.Record.Refutation, Is.GreaterThan(refutation));
    }

    [Test]
    public void Pause_InBetween_MovesAtMostOnce([Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile, [Range(1, 5)] int seed)
    {
        using var cluster = new Cluster(nodes, profile, seed).Form();
        var between = cluster.SuspicionMinimum + ((cluster.SuspicionMaximum - cluster.SuspicionMinimum) * cluster.Simulation.Random.NextDouble());
        var (victim, refutation) = Pause(cluster, between);

        Assert.That(cluster.Ownership.Removals(victim, cluster.Nodes), Is.LessThanOrEqualTo(1), () => cluster.Simulation.Describe());
        AssertMemoryIntact(cluster, victim, refutation);
    }

    [TestCase(5)]
    [TestCase(10)]
    public void Pause_OfAllAtOnce_MovesNothing(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Fast).Form();
        foreach (var node in cluster.Nodes)
        {
            node.Pause();
        }

        cluster.Simulation.Run(TimeSpan.FromMinutes(1));
        foreach (var node in cluster.Nodes)
        {
            node.Resume();
        }

        cluster.Simulation.Run(TimeSpan.FromSeconds(20));
        cluster.Converge(TimeSpan.FromSeconds(1));
        Assert.That(cluster.Nodes.Sum(node => cluster.Ownership.Removals(node, cluster.Nodes)), Is.Zero, () => cluster.Simulation.Describe());
    }

    /// <summary>Until then all count who have started together: one that is suspected just when that ends has begun to count with the others.</summary>
    [Test]
    public void Pause_WhileTheFirstSettleWindowEnds_MovesNothing([Values(3, 5)] int nodes, [Values] ClusterProfile profile, [Range(1, 5)] int seed)
    {
        using var cluster = new Cluster(nodes, profile, seed);
        var states = new StatesSeen();
        foreach (var node in cluster.Nodes)
        {
            node.Start();
        }

        cluster.Converge(TimeSpan.FromSeconds(30));
        cluster.Ownership.Clear();
        cluster.Simulation.Checkers.Add(states);
        var (victim, refutation) = Pause(cluster, cluster.SuspicionMinimum * 0.95);

        Assert.That(states.Of(victim), Does.Contain(MemberState.Suspect), () => cluster.Simulation.Describe());
        Assert.That(cluster.Ownership.Removals(victim, cluster.Nodes), Is.Zero, () => cluster.Simulation.Describe());
        AssertMemoryIntact(cluster, victim, refutation);
    }

    private static (SimulatedNode Victim, uint Refutation) Pause(Cluster cluster, TimeSpan time)
    {
        var victim = cluster.Nodes[cluster.Nodes.Count / 2];
        var refutation = Cluster.ViewOf(victim).Self.Record.Refutation;
        var identity = victim.Identity;
        victim.Pause();
        cluster.Simulation.Run(time);
        victim.Resume();
        cluster.Converge((cluster.RedialInterval * 2) + (cluster.SettleWindow * 4));
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        Assert.That(victim.Identity, Is.EqualTo(identity));
        Assert.That(cluster.Ownership.ChangesOfOthers(victim, cluster.Others(victim)), Is.Zero, () => cluster.Simulation.Describe());
        return (victim, refutation);
    }

    /// <summary>Same incarnation: nobody may think that it started empty.</summary>
    private static void AssertMemoryIntact(Cluster cluster, SimulatedNode victim, uint refutation)
    {
        var records = cluster.Others(victim).Select(node => Cluster.Find(node, victim)!.Record).ToArray();
        Assert.That(records.Select(record => record.Identity), Is.All.EqualTo(victim.Identity));
        Assert.That(records.Select(record => record.Refutation), Is.All.GreaterThanOrEqualTo(refutation));
    }
}
