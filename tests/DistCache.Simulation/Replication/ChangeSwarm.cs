using DistCache.Simulation.Membership;

namespace DistCache.Simulation.Replication;

/// <summary>
/// Nodes start, join, leave, crash and come back at random, one at a time, and each that goes as soon as all say that it may. Links are good; or, with every
/// third seed, messages are late, overtake each other and come twice, and nodes stand still, all of it for less than anybody is passed over for. Every write on
/// every node is acknowledged, and every read as promised, from the first moment on. Seeds as in <see cref="CacheSwarm"/>, 80 unless set.
/// </summary>
public sealed class ChangeSwarm
{
    private const int Batches = 8;
    private const int Keys = 12;
    private const int Changes = 8;
    private const int MostNodes = 7;

    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestGap = TimeSpan.FromSeconds(2);

    /// <summary>There and back, with a hiccup between, in less than a quarter of the default timeout: so long a writer waits for a copy.</summary>
    private static readonly Link SlowLink = Link.Good with { MaximumDelay = TimeSpan.FromMilliseconds(30), Duplication = 0.3 };
    private static readonly TimeSpan LongestHiccup = TimeSpan.FromMilliseconds(100);

    /// <summary>Copies are restored, and what was passed over has got what it missed, within this.</summary>
    private static readonly TimeSpan SafeWithin = TimeSpan.FromMinutes(1);

    [Test]
    public void Changes_OneAtATime_NoWriteFailsAndEveryReadIsAsPromised([Range(0, Batches - 1)] int batch) => Swarm.RunSeeds(batch, Batches, Run, seedsUnlessSet: 80);

    private static void Run(int seed)
    {
        var shape = new Random(seed);
        var options = new ReplicationOptions
        {
            ReplicaCount = shape.Next(1, 3),
            WriteAck = shape.Next(2) == 0 ? WriteAck.All : WriteAck.Majority,
            ReadFrom = shape.Next(4) == 0 ? ReadFrom.Majority : ReadFrom.Primary,
        };
        var nodes = shape.Next(2, MostNodes - 1);
        var isSlow = seed % 3 == 0;

        // Not both: a large value that others have superseded twice is not stamped on where an owner is silent, and links that are slow make that likely.
        var isLarge = !isSlow && seed % 4 == 0;
        using var cluster = new CacheCluster(nodes, seed, Keys, options) { ValueBytes = isLarge ? CacheProcess.MaximumValueBytes : sizeof(int) };
        var simulation = cluster.Simulation;
        if (isSlow)
        {
            cluster.Members.Network.Default = SlowLink;
            cluster.JudgesWhileTablesDiffer = false;
        }

        cluster.Members.Seeds.Clear();
        foreach (var node in cluster.Nodes)
        {
            cluster.Members.Seeds.Add(node.Address);
            simulation.Schedule(shape.Next(2) * LongestGap * shape.NextDouble(), null, node.Start);
        }

        simulation.Run(LongestGap);
        cluster.Settle();
        cluster.StartLoad(operationsPerSecond: 60);
        for (var i = 0; i < Changes; i++)
        {
            ChangeOne(cluster);
            if (isSlow)
            {
                HiccupOne(cluster);
            }

            simulation.Run(simulation.Random.Next(2) * LongestPause * simulation.Random.NextDouble());
            cluster.CheckErrors();
        }

        cluster.StopLoad();
        Assert.That(cluster.UnacknowledgedWrites, Is.Zero, () => $"Writes failed. {simulation.Describe()}");
        cluster.CheckEverything();
    }

    private static void ChangeOne(CacheCluster cluster)
    {
        var random = cluster.Simulation.Random;
        var node = cluster.Nodes[random.Next(cluster.Nodes.Count)];
        if (!node.IsRunning)
        {
            node.Start();
        }
        else if (random.Next(4) == 0 && cluster.Nodes.Count < MostNodes)
        {
            var newcomer = cluster.Members.Add();
            cluster.Members.Seeds.Add(newcomer.Address);
            newcomer.Start();
            cluster.StartCaller(newcomer);
        }
        else if (cluster.Simulation.RunningNodes.Count() > 1)
        {
            WaitUntilSafe(cluster);
            End(cluster, node, random.Next(4));
        }
    }

    private static void HiccupOne(CacheCluster cluster)
    {
        var running = cluster.Simulation.RunningNodes.ToArray();
        var node = running[cluster.Simulation.Random.Next(running.Length)];
        node.Pause();
        cluster.Simulation.Run(LongestHiccup * cluster.Simulation.Random.NextDouble());
        node.Resume();
    }

    private static void End(CacheCluster cluster, SimulatedNode node, int how)
    {
        switch (how)
        {
            case 0:
                node.Leave();
                cluster.Simulation.RunUntil(() => !node.IsRunning, TimeSpan.FromSeconds(15), "it leaves");
                break;
            case 1:
                node.Crash();
                node.Start();
                break;
            default:
                // Who is silent holds up whoever asks it, and a table that is about to change leaves nobody else who may answer.
                node.Crash(isMachineOff: how == 2 && cluster.Simulation.RunningNodes.All(member => IsCountedByAll(cluster, member)));
                break;
        }
    }

    private static bool IsCountedByAll(CacheCluster cluster, SimulatedNode member) =>
        cluster.Simulation.RunningNodes.All(node => Cluster.Find(node, member) is { IsSettled: true });

    private static void WaitUntilSafe(CacheCluster cluster)
    {
        var end = cluster.Simulation.Elapsed + SafeWithin;
        while (!cluster.Simulation.RunningNodes.ToArray().All(cluster.IsSafeToStop))
        {
            Assert.That(cluster.Simulation.Elapsed, Is.LessThan(end), () => $"No node may stop. {cluster.Simulation.Describe()}");
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(10));
        }
    }
}
