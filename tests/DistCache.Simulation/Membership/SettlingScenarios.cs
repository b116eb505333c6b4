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

    /// <summary>
    /// Whoever comes while others wait builds the same table as those who saw them come, also when still more come after it: all differ by no more than the
    /// way of the news.
    /// </summary>
    [Test]
    public void Join_OneMoreBeforeEachSettleWindowEnds_TablesDifferForNoLongerThanNewsTravels([Values] ClusterProfile profile, [Values(0.6, 0.8)] double windows, [Range(1, 3)] int seed)
    {
        using var cluster = new Cluster(3, profile, seed).Form();
        for (var joins = 0; joins < 8; joins++)
        {
            cluster.Simulation.Schedule(cluster.SettleWindow * windows * joins, null, cluster.Add().Start);
        }

        var longest = LongestDifference(cluster, cluster.SettleWindow * ((windows * 8) + 4));

        TestContext.Out.WriteLine($"Tables differed for up to {longest.TotalSeconds:F2} s.");
        Assert.That(longest, Is.LessThan(5 * TimeSpan.FromMilliseconds(cluster.Timing.GossipInterval)), () => cluster.Simulation.Describe());
        cluster.Converge(TimeSpan.FromSeconds(1));
    }

    /// <summary>
    /// It is back before anybody missed it and keeps its place with those who saw it before; a newcomer that finds it first must know that, too.
    /// </summary>
    [Test]
    public void Join_WhileAnotherOneStartsAnew_TablesDifferForNoLongerThanNewsTravels([Values] ClusterProfile profile, [Range(1, 10)] int seed)
    {
        using var cluster = new Cluster(3, profile, seed).Form();
        cluster.Nodes[1].Crash();
        cluster.Add().Start();
        cluster.Nodes[1].Start();

        var longest = LongestDifference(cluster, cluster.SettleWindow * 4);

        Assert.That(longest, Is.LessThan(5 * TimeSpan.FromMilliseconds(cluster.Timing.GossipInterval)), () => cluster.Simulation.Describe());
        cluster.Converge(TimeSpan.FromSeconds(1));
    }

    /// <summary>Another process takes its work over, under another name, before the place of the dead is given to others.</summary>
    [Test]
    public void Join_WhileADeadOneKeepsItsPlace_TablesDifferForNoLongerThanNewsTravels([Values] ClusterProfile profile, [Range(1, 5)] int seed)
    {
        using var cluster = new Cluster(4, profile, seed).Form();
        var dead = cluster.Nodes[3];
        dead.Crash();
        cluster.RunUntilAll(cluster.Others(dead), dead, MemberState.Dead, TimeSpan.FromSeconds(10));
        cluster.Add().Start();

        var longest = LongestDifference(cluster, cluster.SettleWindow * 4);

        Assert.That(longest, Is.LessThan(5 * TimeSpan.FromMilliseconds(cluster.Timing.GossipInterval)), () => cluster.Simulation.Describe());
        cluster.Converge(TimeSpan.FromSeconds(1));
        Assert.That(Counts(cluster.Others(dead), dead), Is.All.False);
    }

    /// <summary>How long the tables of those who have joined differed at a stretch.</summary>
    private static TimeSpan LongestDifference(Cluster cluster, TimeSpan time)
    {
        var (longest, same) = (TimeSpan.Zero, cluster.Simulation.Elapsed);
        cluster.Simulation.RunUntil(
            () =>
            {
                var tables = cluster.Simulation.RunningNodes.Where(node => node.Process.Membership.HasJoined).Select(node => string.Join(' ', node.Process.Membership.Settled));
                same = tables.Distinct().Count() == 1 ? cluster.Simulation.Elapsed : same;
                longest = cluster.Simulation.Elapsed - same > longest ? cluster.Simulation.Elapsed - same : longest;
                return false;
            },
            time);
        return longest;
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
