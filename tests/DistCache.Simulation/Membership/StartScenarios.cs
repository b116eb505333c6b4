using DistCache.Simulation.Checkers;
using DistCache.Peers;

namespace DistCache.Simulation.Membership;

/// <summary>How clusters come to be.</summary>
public sealed class StartScenarios
{
    [Test]
    public void Start_AllAtOnce_OneCluster([Values(3, 5, 10, 100)] int nodes, [Values(1, 2, 3)] int seed)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan, seed);
        foreach (var node in cluster.Nodes)
        {
            node.Start();
        }

        var took = cluster.Converge(TimeSpan.FromSeconds(nodes == 100 ? 15 : 5));
        TestContext.Out.WriteLine($"One cluster after {took.TotalSeconds:F2} s.");
    }

    /// <summary>Its new life seems to be an earlier one: it takes one above what is about, of which nobody who answered it has heard.</summary>
    [Test]
    public void Restart_ByAnEarlierClockLongAfterItsDeath_CountsForItselfAsForTheOthers([Values] ClusterProfile profile, [Range(1, 3)] int seed)
    {
        using var cluster = new Cluster(3, profile, seed).Form();
        var node = cluster.Nodes[1];
        node.Crash();
        cluster.Simulation.RunUntil(() => cluster.Others(node).All(other => !Cluster.Find(other, node)!.IsSettled), TimeSpan.FromSeconds(20), "nobody counts it");
        node.ClockError = TimeSpan.FromHours(-1);
        node.Start();
        cluster.Simulation.RunUntil(() => node.Process.Membership.HasJoined, cluster.SettleWindow, "it joins");

        Assert.That(cluster.Nodes.Select(other => Cluster.Find(other, node)!.IsSettled), Is.All.False, () => cluster.Simulation.Describe());
        cluster.Converge(cluster.SettleWindow * 4);
    }

    /// <summary>Whom the rumour misses hears of it by a probe or an exchange, seconds later.</summary>
    [Test]
    public void Join_WhereNobodyReadsOrWrites_IsKnownToAllAsSoonAsRumoursTravel([Values(7, 8, 9)] int nodes)
    {
        var missed = Enumerable.Range(1, 200).Where(seed => !IsKnownSoon(nodes, seed));
        Assert.That(missed, Is.Empty, "These seeds' joins missed somebody.");
    }

    [Test]
    public void Start_InEveryOrder_OneCluster([Values(3, 5, 10)] int nodes, [Values(0, 50, 2_000)] int millisecondsBetween)
    {
        // All orders of three, and a sample of the others'.
        var orders = nodes == 3 ? Orders([0, 1, 2]) : Enumerable.Range(0, 6).Select(seed => Shuffled(nodes, seed));
        foreach (var order in orders)
        {
            using var cluster = new Cluster(nodes, ClusterProfile.Lan);
            foreach (var number in order)
            {
                cluster.Nodes[number].Start();
                cluster.Simulation.Run(TimeSpan.FromMilliseconds(millisecondsBetween));
            }

            cluster.Converge((cluster.RedialInterval * 2) + (cluster.SettleWindow * 4));
        }
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    public void Start_SeedListStaleInPart_OneCluster(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan, seeds: 1);
        cluster.Seeds.Insert(0, new PeerAddress("gone", 7_600));
        cluster.Network[cluster.Nodes[0].Address, new PeerAddress("silent", 7_600)] = Link.Cut;
        foreach (var node in cluster.Nodes)
        {
            cluster.Network[node.Address, new PeerAddress("silent", 7_600)] = Link.Cut;
        }

        cluster.Seeds.Add(new PeerAddress("silent", 7_600));
        cluster.Form();
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    public void Seeds_AllDownAndBack_OneCluster(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan, seeds: 2).Form();
        cluster.Nodes[0].Crash();
        cluster.Nodes[1].Crash(isMachineOff: true);
        cluster.Simulation.Run(TimeSpan.FromMinutes(2));

        var newcomer = cluster.Add();
        newcomer.Start();
        cluster.Simulation.Run(TimeSpan.FromMinutes(1));
        cluster.Nodes[0].Start();
        cluster.Nodes[1].Start();

        cluster.Converge((cluster.RedialInterval * 2) + (cluster.SettleWindow * 4));
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    public void Start_NodeWithoutSeedsOfItsOwn_FoundByThoseWhoListIt(int nodes)
    {
        // The first node's list names only itself; it is in everybody else's.
        using var cluster = new Cluster(nodes, ClusterProfile.Lan, seeds: 1);
        cluster.Form();
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    public void Start_TwoClustersApart_MergeWhenTheyCan(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan);
        cluster.Cut(cluster.Nodes.Take(1), cluster.Nodes.Skip(1));
        foreach (var node in cluster.Nodes)
        {
            node.Start();
        }

        cluster.Simulation.Run(TimeSpan.FromMinutes(1));
        cluster.Network.Heal();

        cluster.Converge((cluster.RedialInterval * 2) + (cluster.SettleWindow * 4));
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    public void Clocks_WrongByAnHour_ChangeNothing(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Fast);
        for (var i = 0; i < nodes; i++)
        {
            cluster.Nodes[i].ClockError = TimeSpan.FromHours((i % 3) - 1);
        }

        cluster.Form();
        var victim = cluster.Nodes[0];
        victim.Crash();
        cluster.Simulation.Run(TimeSpan.FromSeconds(10));
        victim.Start();
        cluster.Converge(TimeSpan.FromSeconds(10));
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    [TestCase(100)]
    public void Leave_InGoodOrder_SeenByAllWithinASecondAndNeverAsACrash(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan).Form();
        var states = new StatesSeen();
        cluster.Simulation.Checkers.Add(states);
        var leaver = cluster.Nodes[1];

        leaver.Leave();
        var took = cluster.RunUntilAll(cluster.Others(leaver), leaver, MemberState.Left, TimeSpan.FromSeconds(1));

        TestContext.Out.WriteLine($"All knew after {took.TotalSeconds:F3} s.");
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        cluster.Converge(TimeSpan.FromSeconds(1));
        Assert.That(states.Of(leaver), Is.SubsetOf(new[] { MemberState.Alive, MemberState.Leaving, MemberState.Left }));
    }

    [Test]
    public void Join_OneAtATimeUpToEight_AndLeaveAgain_OneViewEachTime()
    {
        using var cluster = new Cluster(8, ClusterProfile.Fast);
        foreach (var node in cluster.Nodes)
        {
            node.Start();
            cluster.Converge(TimeSpan.FromSeconds(20));
        }

        foreach (var node in cluster.Nodes.Skip(1))
        {
            node.Leave();
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(100));
            cluster.Converge(TimeSpan.FromSeconds(10));
        }
    }

    private static bool IsKnownSoon(int nodes, int seed)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Fast, seed, seeds: 1).Form();
        var newcomer = cluster.Add();
        newcomer.Start();
        cluster.Simulation.Run(6 * TimeSpan.FromMilliseconds(cluster.Timing.GossipInterval));
        return cluster.Nodes.All(node => Cluster.Find(node, newcomer) is not null);
    }

    private static IEnumerable<int[]> Orders(int[] rest) => rest.Length <= 1
        ? [rest]
        : rest.SelectMany(first => Orders([.. rest.Where(number => number != first)]).Select(order => (int[])[first, .. order]));

    private static int[] Shuffled(int count, int seed)
    {
        var order = Enumerable.Range(0, count).ToArray();
        new Random(seed).Shuffle(order);
        return order;
    }
}
