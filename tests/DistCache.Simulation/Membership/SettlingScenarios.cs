using DistCache.Membership;

namespace DistCache.Simulation.Membership;

/// <summary>Who counts for the table when members come and go again and again.</summary>
public sealed class SettlingScenarios
{
    [Test]
    public void Quarantine_DiedTwiceInTenMinutes_CountsNowhereForFiveThenEverywhere([Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile)
    {
        using var cluster = new Cluster(nodes, profile).Form();
        var victim = cluster.Nodes[1];
        KillAndReturn(cluster, victim);
        cluster.Simulation.RunUntil(() => Counts(cluster.Nodes, victim).All(counts => counts), cluster.SettleWindow * 4, "one death is forgiven");

        var back = KillAndReturn(cluster, victim);
        var newcomer = cluster.Add();
        newcomer.Start();
        cluster.Converge(cluster.SettleWindow * 6);
        var until = back + TimeSpan.FromMilliseconds(SwimTiming.Quarantine);
        while (cluster.Simulation.Elapsed < until - TimeSpan.FromSeconds(2))
        {
            Assert.That(Counts(cluster.Nodes, victim), Is.All.False, () => cluster.Simulation.Describe());
            cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        }

        Assert.That(Counts(cluster.Nodes, newcomer), Is.All.True);
        cluster.Simulation.Run(until + TimeSpan.FromSeconds(2) - cluster.Simulation.Elapsed);
        Assert.That(Counts(cluster.Nodes, victim), Is.All.True, () => cluster.Simulation.Describe());
        cluster.Converge(TimeSpan.FromSeconds(1));
    }

    /// <summary>
    /// Asked of those who saw the first one come, and of itself: whoever comes later learns how long the first has still to wait, not
    /// since when it has waited, and may let further churn postpone it for three windows of its own.
    /// </summary>
    [Test]
    public void Join_OneMoreBeforeEachSettleWindowEnds_FirstCountsAfterThreeWindows([Values] ClusterProfile profile)
    {
        using var cluster = new Cluster(3, profile).Form();
        var first = cluster.Add();
        var observers = cluster.Nodes.ToArray();
        first.Start();
        cluster.RunUntilAll(observers, first, MemberState.Alive, cluster.SettleWindow);
        for (var joins = 1; joins <= 4; joins++)
        {
            cluster.Simulation.Schedule(cluster.SettleWindow * 0.8 * joins, null, cluster.Add().Start);
        }

        cluster.Simulation.Run(cluster.SettleWindow * 2.9);
        Assert.That(Counts(observers, first), Is.All.False, () => cluster.Simulation.Describe());
        cluster.Simulation.Run(cluster.SettleWindow * 0.2);
        Assert.That(Counts(observers, first), Is.All.True, () => cluster.Simulation.Describe());

        cluster.Simulation.Run(cluster.SettleWindow);
        cluster.Converge(cluster.SettleWindow * 4);
    }

    /// <summary>Gives when all saw it again.</summary>
    private static TimeSpan KillAndReturn(Cluster cluster, SimulatedNode victim)
    {
        victim.Crash();
        cluster.Simulation.RunUntil(
            () => cluster.Others(victim).All(node => !Cluster.Find(node, victim)!.IsSettled), TimeSpan.FromSeconds(20), "nobody counts it");
        victim.Start();
        cluster.RunUntilAll(cluster.Nodes, victim, MemberState.Alive, cluster.SettleWindow);
        return cluster.Simulation.Elapsed;
    }

    /// <summary>Whether each observer counts it for its table.</summary>
    private static IEnumerable<bool> Counts(IEnumerable<SimulatedNode> observers, SimulatedNode member) =>
        observers.Select(node => Cluster.Find(node, member) is { IsSettled: true });
}
