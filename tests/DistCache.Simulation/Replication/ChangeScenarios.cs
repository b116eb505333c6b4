namespace DistCache.Simulation.Replication;

/// <summary>Planned changes under load: every read on every node is as promised all the time, and every one is answered.</summary>
public sealed class ChangeScenarios
{
    /// <summary>At each of three callers: more than a thousand in all.</summary>
    private const double OperationsPerSecond = 340;

    private static readonly TimeSpan HalfASecond = TimeSpan.FromSeconds(0.5);

    [Test]
    public void Quiet_EveryReadIsAsPromised_OnEveryNode([Values(1, 2, 3, 5)] int nodes)
    {
        using var cluster = Loaded(nodes, nodes);
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        End(cluster);
    }

    /// <summary>It rests for the sake of those who read: where nobody does, on neither side, it takes its time for nothing.</summary>
    [Test]
    public void Transfer_WhereNobodyReads_EndsSooner() =>
        Assert.That(TimeToRestore(isRead: false), Is.LessThan(0.75 * TimeToRestore(isRead: true)));

    [Test]
    public void Join_From1To8_UnderLoad()
    {
        using var cluster = Loaded(1, seed: 1);
        for (var i = 1; i < 8; i++)
        {
            var node = cluster.Members.Add();
            node.Start();
            cluster.StartCaller(node);
            cluster.Simulation.Run(TimeSpan.FromSeconds(6));
        }

        End(cluster);
    }

    [Test]
    public void SecondJoin_WhileTheFirstOneImports()
    {
        using var cluster = Loaded(3, seed: 2);
        cluster.Members.Add().Start();
        cluster.Simulation.Run(TimeSpan.FromMilliseconds(1_100));
        cluster.Members.Add().Start();
        cluster.Simulation.Run(TimeSpan.FromSeconds(20));
        End(cluster);
    }

    [Test]
    public void Leave_From8To1_UnderLoad()
    {
        using var cluster = Loaded(8, seed: 3);
        for (var i = 7; i > 0; i--)
        {
            cluster.Nodes[i].Leave();
            cluster.Simulation.Run(TimeSpan.FromSeconds(6));
            Assert.That(cluster.Nodes[i].IsRunning, Is.False, () => $"It has not left. {cluster.Simulation.Describe()}");
        }

        End(cluster);
    }

    [Test]
    public void RollingRestart_Graceful_UnderLoad([Range(1, 3)] int seed)
    {
        using var cluster = Loaded(3, seed, OperationsPerSecond);
        foreach (var node in cluster.Nodes)
        {
            node.Leave();
            cluster.Simulation.RunUntil(() => !node.IsRunning, TimeSpan.FromSeconds(15), "it leaves");
            node.Start();
            cluster.Simulation.Run(TimeSpan.FromSeconds(8));
            cluster.Settle();
        }

        End(cluster);
    }

    [Test]
    public void RollingRestart_ByCrash_UnderLoad_LosesNothing([Range(1, 3)] int seed)
    {
        using var cluster = Loaded(3, seed, OperationsPerSecond);
        foreach (var node in cluster.Nodes)
        {
            node.Crash();
            cluster.Simulation.Run(TimeSpan.FromSeconds(8));
            node.Start();
            cluster.Simulation.Run(TimeSpan.FromSeconds(8));
            cluster.Settle();
        }

        End(cluster);
    }

    /// <summary>
    /// Nodes change their tables up to half a second after each other: for as long a write may be disowned by all who own its key by its writer's table, and
    /// by everybody else. Reads are promised nothing meanwhile, but must be right afterwards.
    /// </summary>
    [Test]
    public void TablesThatDiffer_ForHalfASecond_FailNoWrite([Values(0, 1)] int replicaCount, [Values] bool newcomerIsLast, [Range(1, 3)] int seed)
    {
        using var cluster = new CacheCluster(3, seed, options: new ReplicationOptions { ReplicaCount = replicaCount }).Form();
        cluster.JudgesReads = false;
        cluster.StartLoad();
        CacheCluster.CacheOf(cluster.Nodes[1]).TableDelay = HalfASecond / 2;
        CacheCluster.CacheOf(cluster.Nodes[2]).TableDelay = newcomerIsLast ? TimeSpan.Zero : HalfASecond;
        var newcomer = cluster.Members.Add();
        newcomer.Start();
        cluster.Simulation.RunUntil(() => CacheCluster.CacheOf(newcomer).Membership.HasJoined, TimeSpan.FromSeconds(5), "it joins");
        CacheCluster.CacheOf(newcomer).TableDelay = newcomerIsLast ? HalfASecond : TimeSpan.Zero;
        cluster.StartCaller(newcomer);
        cluster.Simulation.Run(TimeSpan.FromSeconds(6));
        cluster.Nodes[0].Leave();
        cluster.Simulation.Run(TimeSpan.FromSeconds(6));
        Assert.That(cluster.UnacknowledgedWrites, Is.Zero, () => cluster.Simulation.Describe());
        End(cluster);
    }

    /// <summary>An owner dies while they differ: the other one may disown the key by its table.</summary>
    [Test]
    public void Crash_WhileTablesDiffer_FailsNoWrite([Values(0.9, 1.1, 1.3, 1.5)] double secondsAfterTheJoin, [Range(1, 3)] int seed)
    {
        using var cluster = new CacheCluster(4, seed).Form();
        cluster.JudgesReads = false;
        cluster.StartLoad(operationsPerSecond: 150);
        CacheCluster.CacheOf(cluster.Nodes[1]).TableDelay = HalfASecond / 2;
        var newcomer = cluster.Members.Add();
        newcomer.Start();
        cluster.Simulation.RunUntil(() => CacheCluster.CacheOf(newcomer).Membership.HasJoined, TimeSpan.FromSeconds(5), "it joins");
        CacheCluster.CacheOf(newcomer).TableDelay = HalfASecond;
        cluster.StartCaller(newcomer);
        cluster.Simulation.Run(TimeSpan.FromSeconds(secondsAfterTheJoin));
        cluster.Nodes[2].Crash();
        cluster.Simulation.Run(TimeSpan.FromSeconds(6));
        Assert.That(cluster.UnacknowledgedWrites, Is.Zero, () => cluster.Simulation.Describe());
        End(cluster);
    }

    /// <summary>Nothing but the node's own word says when the next one may go; each goes without a word.</summary>
    [Test]
    public void RollingRestart_ByCrash_WhenTheNodeSaysThatItMay_LosesNothing([Range(1, 3)] int seed)
    {
        using var cluster = Loaded(3, seed);
        cluster.JudgesReads = false;
        var waited = 0;
        foreach (var node in cluster.Nodes)
        {
            while (!cluster.IsSafeToStop(node))
            {
                Assert.That(waited++, Is.LessThan(3_000), () => cluster.Simulation.Describe());
                cluster.Simulation.Run(TimeSpan.FromMilliseconds(10));
            }

            node.Crash();
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(500));
            node.Start();
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(10));
        }

        End(cluster);
        Assert.That(waited, Is.Positive, "It was never unsafe: the scenario proves nothing.");
    }

    private static CacheCluster Loaded(int nodes, int seed, double operationsPerSecond = 50)
    {
        var cluster = new CacheCluster(nodes, seed).Form();
        cluster.StartLoad(operationsPerSecond);
        cluster.Simulation.Run(TimeSpan.FromSeconds(2));
        return cluster;
    }

    private static void End(CacheCluster cluster)
    {
        cluster.StopLoad();
        cluster.CheckEverything();
        Assert.That(cluster.Reads, Is.GreaterThan(0));
        TestContext.Out.WriteLine($"{cluster.History.Acknowledged} writes acknowledged, {cluster.UnacknowledgedWrites} not, {cluster.Reads} reads.");
    }

    /// <summary>Of two nodes one starts anew and fetches two megabytes over slow links; seconds.</summary>
    private static double TimeToRestore(bool isRead)
    {
        using var cluster = new CacheCluster(2).Form();
        for (var i = 0; i < 2_000; i++)
        {
            Write(CacheCluster.CacheOf(cluster.Nodes[0]), i);
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(1));
        }

        cluster.Members.Network.Default = Link.Good with { MinimumDelay = TimeSpan.FromMilliseconds(10), MaximumDelay = TimeSpan.FromMilliseconds(20) };
        cluster.Nodes[1].Crash();
        cluster.Nodes[1].Start();
        if (isRead)
        {
            cluster.JudgesReads = false;
            cluster.StartLoad(on: [cluster.Nodes[0]]);
        }

        var started = cluster.Simulation.Elapsed;
        cluster.Settle();
        return (cluster.Simulation.Elapsed - started).TotalSeconds;

        static async void Write(CacheProcess cache, int i) => await cache.WriteAsync($"e{i}", i, valueBytes: 1_000);
    }
}
