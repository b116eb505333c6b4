using DistCache.Peers;

namespace DistCache.Simulation.Replication;

/// <summary>
/// Nodes that stand still for longer than tombstones live: what nobody went on without stays as it was, and what others removed meanwhile
/// does not return.
/// </summary>
public sealed class StandstillScenarios
{
    private const int Keys = 40;

    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(2);

    private static readonly TimeSpan Night = TimeSpan.FromHours(7);

    /// <summary>
    /// All stand still, one after the other, and wake one after the other: a frozen group of containers, a host that slept. Half of the keys were removed when
    /// one stood still already. The first to wake gives the others up where they take their time.
    /// </summary>
    [Test]
    public void AllNodes_StandStill_AndLoseNothing(
        [Values(0, 0.4, 2, 30)] double secondsBetweenStops, [Values(0, 3, 40)] double secondsBetweenStarts, [Values] bool machineSlept)
    {
        using var cluster = Form();
        cluster.Nodes[1].Pause();
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(1 + secondsBetweenStops));
        cluster.Nodes[2].Pause();
        cluster.Simulation.Run(TimeSpan.FromSeconds(secondsBetweenStops));
        cluster.Nodes[0].Pause();
        cluster.Simulation.Run(Night);
        var lives = LivesOf(cluster);
        foreach (var node in new[] { cluster.Nodes[2], cluster.Nodes[1], cluster.Nodes[0] })
        {
            node.Resume(machineSlept);
            cluster.Simulation.Run(TimeSpan.FromSeconds(secondsBetweenStarts));
        }

        cluster.CheckEverything();
        Assert.That(LivesOf(cluster), Is.EqualTo(lives), () => cluster.Simulation.Describe());
    }

    /// <summary>One stood still for less than tombstones live, when the others fell asleep too: the time after that does not count.</summary>
    [Test]
    public void OneNode_StoodStillForShort_WhenAllOthersDid_BringsNothingBack([Values] bool machineSlept)
    {
        using var cluster = Form();
        cluster.Nodes[1].Pause();
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        cluster.Nodes[0].Pause();
        cluster.Nodes[2].Pause();
        cluster.Simulation.Run(Night);
        var lives = LivesOf(cluster);
        foreach (var node in cluster.Nodes)
        {
            node.Resume(machineSlept);
        }

        WaitForABeat(cluster, machineSlept);
        ReadUntilSettled(cluster);
        cluster.CheckEverything();
        Assert.That(LivesOf(cluster), Is.EqualTo(lives), () => cluster.Simulation.Describe());
    }

    /// <summary>Others went on without those that stood still, be they fewer or more: these begin anew, and nothing that they held is seen.</summary>
    [Test]
    public void SomeNodes_StandStill_AndOthersGoOn_NothingReturns([Values(1, 2)] int sleepers, [Values] bool machineSlept, [Values(0, 3)] double secondsBetweenStarts)
    {
        // What only those hold that stood still goes, as with their crash.
        using var cluster = Form(withKept: sleepers == 1);
        var asleep = cluster.Nodes.Skip(1).Take(sleepers).ToArray();
        Array.ForEach(asleep, static node => node.Pause());
        cluster.Simulation.Run(TimeSpan.FromSeconds(10));
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromMinutes(10));
        Assert.That(CacheCluster.CacheOf(cluster.Nodes[0]).Memory.Statistics.Tombstones, Is.Zero, "The scenario wants removals to be forgotten.");
        var lives = LivesOf(cluster);
        foreach (var node in asleep)
        {
            node.Resume(machineSlept);
            WaitForABeat(cluster, machineSlept);
            ReadUntil(cluster, cluster.Simulation.Elapsed + TimeSpan.FromSeconds(secondsBetweenStarts));
            if (secondsBetweenStarts > 0 && !machineSlept)
            {
                Assert.That(node.Identity.Incarnation, Is.Not.EqualTo(lives[node]), () => $"It does not wait to begin anew. {cluster.Simulation.Describe()}");
            }
        }

        ReadUntilSettled(cluster);
        cluster.CheckEverything();
        Assert.That(cluster.Nodes.Where(node => node.Identity.Incarnation != lives[node]), Is.EquivalentTo(asleep), () => cluster.Simulation.Describe());
    }

    /// <summary>Two of three slept, and their network is there only after they gave up the one that went on: what that one took meanwhile stays.</summary>
    [Test]
    public void LargerSide_ThatStoodStill_HasNoClaimAgainstTheOneThatWentOn([Values] bool machineSlept)
    {
        using var cluster = Form(withKept: false);
        var asleep = cluster.Nodes.Skip(1).ToArray();
        Array.ForEach(asleep, static node => node.Pause());
        cluster.Simulation.Run(TimeSpan.FromSeconds(10));
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromMinutes(10));
        cluster.Members.Isolate(cluster.Nodes[0]);
        Array.ForEach(asleep, node => node.Resume(machineSlept));
        cluster.Simulation.Run(TimeSpan.FromSeconds(40));
        var lives = LivesOf(cluster);
        cluster.Members.Network.Heal();
        cluster.Simulation.Run(TimeSpan.FromSeconds(40));
        cluster.CheckEverything();
        Assert.That(cluster.Nodes.Where(node => node.Identity.Incarnation != lives[node]), Is.EquivalentTo(asleep), () => cluster.Simulation.Describe());
    }

    /// <summary>
    /// One node gets hardly any processor: it stands still again and again, with a moment between in which it must doubt itself, since others led its slots.
    /// </summary>
    [Test]
    public void StarvedNode_FailsNothing_AndComparesOnceAStandstill([Values(3, 5)] int nodes, [Range(1, 3)] int seed)
    {
        using var cluster = new CacheCluster(nodes, seed).Form();
        var starved = cluster.Nodes[1];
        var (standstills, doubts, questions) = (0, 0, 0);
        CacheCluster.CacheOf(starved).Replicator.Ownership.ImportBegins += _ => doubts++;
        cluster.Members.Network.Sent = (from, message) =>
            questions += from == starved.Address && message is StampedRequest { Request: HoldingsRequest or DigestRequest } ? 1 : 0;
        cluster.StartLoad(on: cluster.Nodes.Where(node => node != starved));
        for (var end = cluster.Simulation.Elapsed + TimeSpan.FromMinutes(1); cluster.Simulation.Elapsed < end; standstills++)
        {
            starved.Pause();
            cluster.Simulation.Run(TimeSpan.FromSeconds(0.5 + cluster.Simulation.Random.NextDouble()));
            starved.Resume();
            cluster.Simulation.Run(TimeSpan.FromSeconds(0.2));
        }

        cluster.CheckErrors();
        Assert.That(cluster.UnacknowledgedWrites, Is.Zero, () => cluster.Simulation.Describe());

        // It also doubts itself when it hears that it was suspected.
        Assert.That(doubts, Is.InRange(standstills, 1.5 * standstills));
        Assert.That(questions, Is.LessThanOrEqualTo(2 * (nodes - 1) * doubts), "what each holds, and whether that differs");
        cluster.StopLoad();
        cluster.CheckEverything();
    }

    private static CacheCluster Form(bool withKept = true)
    {
        var cluster = new CacheCluster(3, keys: Keys, options: new ReplicationOptions { TombstoneLifetime = Lifetime }).Form();
        for (var i = 0; i < Keys; i++)
        {
            Start(cluster.WriteAsync(cluster.Nodes[0], $"k{i}"));
        }

        for (var i = 0; withKept && i < Keys; i++)
        {
            // Never written again: there in the end.
            Start(cluster.WriteAsync(cluster.Nodes[1], $"kept{i}"));
        }

        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        return cluster;
    }

    /// <summary>A process whose clocks went on knows at once that it stood still; one whose machine slept, from the wall clock, with the next beat.</summary>
    private static void WaitForABeat(CacheCluster cluster, bool machineSlept) =>
        cluster.Simulation.Run(machineSlept ? TimeSpan.FromSeconds(0.25) : TimeSpan.Zero);

    /// <summary>Half of the keys are removed, half overwritten.</summary>
    private static void WriteAll(CacheCluster cluster, SimulatedNode node)
    {
        for (var i = 0; i < Keys; i++)
        {
            Start(cluster.WriteAsync(node, $"k{i}", isRemove: i % 2 == 0));
        }
    }

    /// <summary>From the first moment no node shows what was removed or overwritten.</summary>
    private static void ReadUntilSettled(CacheCluster cluster)
    {
        var limit = cluster.Simulation.Elapsed + TimeSpan.FromSeconds(60);
        ReadUntil(cluster, cluster.Simulation.Elapsed + TimeSpan.FromSeconds(15));
        while (!cluster.IsSettled())
        {
            Assert.That(cluster.Simulation.Elapsed, Is.LessThan(limit), () => cluster.Simulation.Describe());
            ReadUntil(cluster, cluster.Simulation.Elapsed + TimeSpan.FromSeconds(1));
        }
    }

    private static void ReadUntil(CacheCluster cluster, TimeSpan end)
    {
        do
        {
            foreach (var node in cluster.Simulation.RunningNodes.Where(node => !node.IsPaused))
            {
                for (var i = 0; i < Keys; i++)
                {
                    Start(ReadAsync(cluster, node, $"k{i}"));
                }
            }

            cluster.Simulation.Run(TimeSpan.FromMilliseconds(50));
        }
        while (cluster.Simulation.Elapsed < end);
        cluster.CheckErrors();
    }

    private static async Task ReadAsync(CacheCluster cluster, SimulatedNode node, string key)
    {
        var start = cluster.Simulation.Elapsed;
        var (_, value) = await CacheCluster.CacheOf(node).ReadAsync(key);

        // A miss is right where nobody can be asked.
        if (value is not null && cluster.History.Judge(key, value, start, cluster.Simulation.Elapsed) is { } wrong)
        {
            cluster.Simulation.Trace.Errors.Add($"On {node.Name} at {start}: {wrong}");
        }
    }

    private static Dictionary<SimulatedNode, long> LivesOf(CacheCluster cluster) =>
        cluster.Simulation.RunningNodes.ToDictionary(node => node, node => node.Identity.Incarnation);

    private static async void Start(Task task) => await task;
}
