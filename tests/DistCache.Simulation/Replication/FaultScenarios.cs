using System.Text;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Simulation.Replication;

/// <summary>Acknowledged writes survive, whatever happens between two moments of a write or of a membership.</summary>
public sealed class FaultScenarios
{
    /// <summary>A write has fewer messages than this: request, two copies and stand-ins, each with its reply.</summary>
    private const int StepsOfAWrite = 8;

    /// <summary>Less than a writer waits for a copy, and more than a reader for an answer before it asks the next owner too.</summary>
    private static readonly Link Slow = new(TimeSpan.FromMilliseconds(100), TimeSpan.FromMilliseconds(120));

    [Test]
    public void Crash_AtEveryStepOfAWrite_OfEachNode([Range(0, 2)] int victim, [Range(0, StepsOfAWrite)] int step)
    {
        using var cluster = new CacheCluster(3, seed: 1 + (victim * StepsOfAWrite) + step, keys: 12).Form();
        for (var i = 0; i < 12; i++)
        {
            Start(cluster.WriteAsync(cluster.Nodes[i % 3], $"k{i}"));
        }

        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        var steps = 0;
        cluster.Members.Network.Sent = (_, message) =>
        {
            var isOfAWrite = message is StampedRequest { Request: WriteRequest or ReplicateRequest } or StampedReply { Reply: WriteReply or ReplicateReply };
            if (isOfAWrite && steps++ == step)
            {
                cluster.Simulation.Schedule(TimeSpan.Zero, null, () => cluster.Nodes[victim].Crash());
            }
        };
        Start(cluster.WriteAsync(cluster.Nodes[(victim + 1) % 3], "k3"));
        Start(cluster.WriteAsync(cluster.Nodes[(victim + 2) % 3], "k7", isRemove: true));
        cluster.Simulation.Run(TimeSpan.FromSeconds(3));
        cluster.Members.Network.Sent = null;
        cluster.CheckEverything();
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Crash_OfTwoOneAfterTheOther_WithCopiesRestoredBetween(bool isMachineOff)
    {
        using var cluster = new CacheCluster(4, seed: 3).Form();
        cluster.StartLoad();
        cluster.Simulation.Run(TimeSpan.FromSeconds(3));
        cluster.Nodes[1].Crash(isMachineOff);
        cluster.Simulation.Run(TimeSpan.FromSeconds(20));
        cluster.Settle();
        cluster.Nodes[2].Crash(isMachineOff);
        cluster.Simulation.Run(TimeSpan.FromSeconds(20));
        cluster.StopLoad();
        cluster.CheckEverything();
    }

    [Test]
    public void TwoCrashesAtOnce_WithTwoReplicasAndAllAcknowledging()
    {
        var options = new ReplicationOptions { ReplicaCount = 2, WriteAck = WriteAck.All };
        using var cluster = new CacheCluster(5, seed: 4, options: options).Form();
        cluster.StartLoad();
        cluster.Simulation.Run(TimeSpan.FromSeconds(3));
        cluster.Nodes[0].Crash();
        cluster.Nodes[3].Crash();
        cluster.Simulation.Run(TimeSpan.FromSeconds(15));
        cluster.StopLoad();
        cluster.CheckEverything();
    }

    /// <summary>Nobody counts for the table then but by having started with all others.</summary>
    [Test]
    public void Crash_BeforeTheSettleWindowIsOver_LosesNothingAndLeavesNoReadUnanswered([Range(1, 10)] int seed)
    {
        using var cluster = new CacheCluster(5, seed);
        cluster.Members.Network.Default = new Link(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(60));
        cluster.StartNodes();
        for (var i = 0; i < 40; i++)
        {
            Start(cluster.WriteAsync(cluster.Nodes[i % 5], $"k{i}"));
        }

        cluster.Simulation.Run(TimeSpan.FromMilliseconds(100));
        cluster.StartLoad(operationsPerSecond: 300);
        cluster.Nodes[seed % 5].Crash();
        cluster.Simulation.Run(TimeSpan.FromSeconds(5));
        cluster.CheckErrors();
        cluster.StopLoad();
        cluster.CheckEverything();
    }

    [Test]
    public void Restart_FasterThanDetection_LosesNothing([Range(1, 3)] int seed)
    {
        using var cluster = new CacheCluster(3, seed).Form();
        cluster.StartLoad();
        cluster.Simulation.Run(TimeSpan.FromSeconds(3));
        cluster.Nodes[1].Crash();
        cluster.Simulation.Run(TimeSpan.FromMilliseconds(300));
        cluster.Nodes[1].Start();
        cluster.Simulation.Run(TimeSpan.FromSeconds(15));
        cluster.StopLoad();
        cluster.CheckEverything();
    }

    [Test]
    public void Pause_ThenGoOn_GivesNothingOld([Values(0.5, 2, 5, 20)] double seconds)
    {
        using var cluster = new CacheCluster(3, seed: 5).Form();
        cluster.StartLoad();
        cluster.Simulation.Run(TimeSpan.FromSeconds(2));
        cluster.Nodes[1].Pause();
        cluster.Simulation.Run(TimeSpan.FromSeconds(seconds));
        cluster.Nodes[1].Resume();
        cluster.Simulation.Run(TimeSpan.FromSeconds(10));
        cluster.StopLoad();
        cluster.CheckEverything();
    }

    /// <summary>
    /// Whoever was passed over must not answer alone when it goes on, however soon that is: writers wait for a copy a quarter of the timeout, and pass
    /// over whom they waited for in vain.
    /// </summary>
    [Test]
    public void Pause_InWhichWritersPassItOver_GivesNothingOld([Values(0.3, 0.52, 0.8, 0.99)] double seconds, [Range(1, 3)] int seed)
    {
        using var cluster = new CacheCluster(3, seed).Form();
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        cluster.Nodes[1].Pause();
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(0.27));
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(seconds - 0.27));
        cluster.Nodes[1].Resume();
        cluster.CheckReads();
        cluster.CheckEverything();
    }

    /// <summary>Its time is over when it goes on, and nobody had any to answer: the messages from before are lost.</summary>
    [Test]
    public void Pause_OfTheReader_InTheMiddleOfARead_IsAnsweredAfterwards([Values(0, 0.1)] double secondsBefore, [Values(1.3, 3)] double seconds, [Range(1, 3)] int seed)
    {
        using var cluster = new CacheCluster(3, seed).Form();
        var reader = cluster.Nodes[1];
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        cluster.Members.Isolate(reader);
        var reads = cluster.History.Keys.Select(CacheCluster.CacheOf(reader).ReadAsync).ToArray();
        cluster.Simulation.Run(TimeSpan.FromSeconds(secondsBefore));
        reader.Pause();
        cluster.Members.Network.Heal();
        cluster.Simulation.Run(TimeSpan.FromSeconds(seconds));
        reader.Resume();
        cluster.Simulation.Run(cluster.Options.Timeout);
        Assert.That(reads.Select(static read => read.IsCompleted ? read.Result.Value : null), Is.All.Not.Null);
    }

    [Test]
    public void DelayAndDuplication_BreakNoPromise([Range(1, 4)] int seed) =>
        RunOverBadLinks(seed, Link.Good with { MaximumDelay = TimeSpan.FromMilliseconds(60), Duplication = 0.3 }, staleness: TimeSpan.Zero);

    /// <summary>
    /// Without leases an owner that was cut off can show what it had until it is paid what it is owed: that takes a tick of the debts and a few
    /// round trips after all agree on the members, however long others would have passed it over.
    /// </summary>
    [Test]
    public void HealedCut_ShowsOlderValues_ForNoLongerThanATickOfTheDebts([Values(0.4, 0.9, 2, 6)] double seconds, [Range(1, 5)] int seed)
    {
        using var cluster = new CacheCluster(3, seed).Form();
        var (cutOff, writer) = (cluster.Nodes[1], cluster.Nodes[0]);
        WriteAll(cluster, writer);
        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        cluster.Members.Isolate(cutOff);
        WriteAll(cluster, writer);
        cluster.Simulation.Run(TimeSpan.FromSeconds(seconds));
        cluster.Members.Network.Heal();
        cluster.Members.Converge(TimeSpan.FromMinutes(1));
        cluster.Simulation.Run(1.5 * DistCache.Replication.Debts.Interval);
        cluster.CheckReads();
    }

    /// <summary>
    /// Whoever has given up all owners of a key has nobody to ask as long as the table has them; heals the cut just then, it still asks nobody. That
    /// ends when they are out of its table, if nothing else ends it.
    /// </summary>
    [Test]
    public void HealedCut_LeavesReadsUnanswered_ForNoLongerThanATableKeepsTheDead([Values(3.6, 4, 4.4)] double seconds, [Range(1, 3)] int seed)
    {
        using var cluster = new CacheCluster(3, seed).Form();
        var cutOff = cluster.Nodes[1];
        WriteAll(cluster, cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        cluster.Members.Isolate(cutOff);
        cluster.Simulation.Run(TimeSpan.FromSeconds(seconds));
        cluster.Members.Network.Heal();

        // The two are given up one after the other, and each death begins the window anew.
        cluster.Simulation.Run(2 * cluster.Members.SettleWindow);
        var reads = cluster.History.Keys.Select(CacheCluster.CacheOf(cutOff).ReadAsync).ToArray();
        cluster.Simulation.Run(cluster.Options.Timeout);
        Assert.That(reads.Select(static read => read.IsCompleted && read.Result.Answered), Is.All.True);
    }

    /// <summary>
    /// A replica that missed an acknowledged write answers while the primary, which owes it that, stands still: a hedged read is settled by its
    /// hit. The stand-in's copy comes home within a round of <see cref="DistCache.Replication.Release"/>, whoever else is silent.
    /// </summary>
    [Test]
    public void HedgedRead_OfAReplicaThatMissedAWrite_IsOldForNoLongerThanTheStandInKeepsIt([Range(1, 5)] int seed)
    {
        using var cluster = new CacheCluster(3, seed).Form();
        var (primary, replica, standIn) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        WriteAll(cluster, standIn);
        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        cluster.Members.Isolate(replica);
        WriteAll(cluster, standIn);
        cluster.Simulation.Run(TimeSpan.FromSeconds(0.7));
        primary.Pause();
        cluster.Members.Network.Heal();
        cluster.Simulation.Run(DistCache.Replication.Release.Interval + TimeSpan.FromSeconds(0.2));
        foreach (var (key, node) in cluster.History.Keys.SelectMany(_ => new[] { replica, standIn }, (key, node) => (key, node)))
        {
            var start = cluster.Simulation.Elapsed;
            var read = CacheCluster.CacheOf(node).ReadAsync(key);
            cluster.Simulation.RunUntil(() => read.IsCompleted, cluster.Options.Timeout * 3, "a read ends");
            Assert.That(cluster.History.Judge(key, read.Result.Value, start, cluster.Simulation.Elapsed), Is.Null, () => $"On {node.Name}. {cluster.Simulation.Describe()}");
        }

        primary.Resume();
        cluster.CheckEverything();
    }

    /// <summary>
    /// A large value goes by the primary, and other writers of its key are always a step ahead there, whose copies take their time:
    /// <list type="number">
    /// <item>the primary holds a later one, and the write is stamped again, above that; as often as a write may be;</item>
    /// <item>it is acknowledged as superseded, while what superseded it is on its way to the replica;</item>
    /// <item>the primary is slow to answer a read, and the replica, asked too, must not show what was before both.</item>
    /// </list>
    /// </summary>
    [Test]
    public void ContendedLargeWrite_AcknowledgedAsSuperseded_IsNoOlderAtTheReplica([Range(1, 5)] int seed)
    {
        using var cluster = new CacheCluster(3, seed).Form();
        var (primary, replica, writer) = PlacesOf(cluster, "k");
        Start(cluster.WriteAsync(writer, "k"));
        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        cluster.Members.Network[primary.Address, replica.Address] = Slow;
        Task? write = null;
        for (var i = 0; i < 40; i++)
        {
            Start(cluster.WriteAsync(primary, "k", valueBytes: CacheProcess.MaximumValueBytes));
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(0.2));
            write ??= cluster.WriteAsync(writer, "k", valueBytes: CacheProcess.MaximumValueBytes);
        }

        cluster.Simulation.RunUntil(() => write!.IsCompleted, cluster.Options.Timeout, "the write ends");
        Assert.That(cluster.UnacknowledgedWrites, Is.Zero);
        cluster.Members.Network[primary.Address, writer.Address] = Slow;
        var start = cluster.Simulation.Elapsed;
        var read = CacheCluster.CacheOf(writer).ReadAsync("k");
        cluster.Simulation.RunUntil(() => read.IsCompleted, cluster.Options.Timeout, "a read ends");
        Assert.That(cluster.Simulation.Elapsed - start, Is.LessThan(Slow.MinimumDelay), "the replica's answer settled it");
        Assert.That(cluster.History.Judge("k", read.Result.Value, start, cluster.Simulation.Elapsed), Is.Null, () => cluster.Simulation.Describe());
    }

    /// <summary>
    /// Callers near the primary write the same key all the time, so that each stamp of a writer far away comes too late. The replica holds what is later as
    /// well, and says so.
    /// </summary>
    [Test]
    public void ContendedWrite_FromFarAway_IsAcknowledgedAsSuperseded([Range(1, 5)] int seed)
    {
        using var cluster = new CacheCluster(3, seed).Form();
        var (primary, _, writer) = PlacesOf(cluster, "k");
        var far = TimeSpan.FromMilliseconds(50);
        cluster.Members.Network[writer.Address, primary.Address] = new Link(far, far);
        Task? write = null;
        var start = cluster.Simulation.Elapsed;
        for (var i = 0; i < 1_200 && write is not { IsCompleted: true }; i++)
        {
            Start(cluster.WriteAsync(primary, "k"));
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(1));
            write ??= cluster.WriteAsync(writer, "k");
        }

        Assert.That(cluster.UnacknowledgedWrites, Is.Zero);
        Assert.That(cluster.Simulation.Elapsed - start, Is.LessThan(4 * far), "three stamps, and a moment for the replica");
        cluster.CheckEverything();
    }

    /// <summary>A lost message cuts an owner off for a timeout, and so does one of those that pay what it missed: meanwhile a read may be old.</summary>
    [Test]
    public void Loss_LosesNoWrite_AndNoReadIsOlderThanATimeoutAndAHalf([Range(1, 4)] int seed) =>
        RunOverBadLinks(seed, Link.Good with { MaximumDelay = TimeSpan.FromMilliseconds(60), Loss = 0.02, Duplication = 0.3 }, staleness: TimeSpan.FromSeconds(1.5));

    [TestCase(3, 1)]
    [TestCase(4, 2)]
    [TestCase(5, 2)]
    public void Split_WithWritesOnBothSides_EndsInTheLaterOnes(int nodes, int cutOff)
    {
        using var cluster = new CacheCluster(nodes, seed: nodes).Form();
        cluster.JudgesReads = false;
        cluster.StartLoad();
        cluster.Simulation.Run(TimeSpan.FromSeconds(2));
        cluster.Members.Cut(cluster.Nodes.Take(cutOff), cluster.Nodes.Skip(cutOff));
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        cluster.StopLoad();
        cluster.Members.Network.Heal();
        cluster.CheckEverything();
    }

    /// <summary>No two sides see each other, each node sees its neighbours only, one sees both sides, or messages pass one way.</summary>
    [Test]
    public void PartitionOfOtherShapes_WithWritesEverywhere_EndsInTheLaterOnes([Values("ring", "bridge", "one way", "each alone")] string shape)
    {
        using var cluster = new CacheCluster(5, seed: shape.Length).Form();
        cluster.JudgesReads = false;
        cluster.StartLoad();
        cluster.Simulation.Run(TimeSpan.FromSeconds(2));
        foreach (var (from, to) in cluster.Nodes.SelectMany(_ => cluster.Nodes, (from, to) => (from, to)).Where(pair => IsCut(shape, pair.from.Number, pair.to.Number)))
        {
            cluster.Members.SetLoss(from, to, 1);
        }

        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        cluster.StopLoad();
        cluster.Members.Network.Heal();
        cluster.CheckEverything();
    }

    private static bool IsCut(string shape, int from, int to) => shape switch
    {
        "ring" => (5 + from - to) % 5 is 2 or 3,
        "bridge" => from != 2 && to != 2 && from < 2 != to < 2,
        "one way" => from < 2 && to >= 2,
        _ => from != to,
    };

    [TestCase(-1)]
    [TestCase(1)]
    public void WrongClock_OnOneNode_LosesNothing(int hours)
    {
        using var cluster = new CacheCluster(3, seed: 7);
        cluster.Nodes[1].ClockError = TimeSpan.FromHours(hours);
        cluster.Form();
        cluster.StartLoad();
        cluster.Simulation.Run(TimeSpan.FromSeconds(15));
        cluster.StopLoad();
        cluster.CheckEverything();
    }

    /// <summary>Each write follows another node's at once, before its writer's clock was told of that.</summary>
    [TestCase(-1)]
    [TestCase(1)]
    public void WrongClock_OnOneNode_TheLaterWriteWins(int hours)
    {
        using var cluster = new CacheCluster(3, seed: 8);
        cluster.Nodes[1].ClockError = TimeSpan.FromHours(hours);
        cluster.Form();
        for (var i = 0; i < 120; i++)
        {
            var write = cluster.WriteAsync(cluster.Nodes[i % 3], $"k{i / 3}");
            cluster.Simulation.RunUntil(() => write.IsCompleted, TimeSpan.FromSeconds(1), "it is written");
        }

        cluster.CheckReads();
        Assert.That(cluster.History.Acknowledged, Is.EqualTo(120));
    }

    private static void RunOverBadLinks(int seed, Link link, TimeSpan staleness)
    {
        using var cluster = new CacheCluster(3, seed) { Staleness = staleness }.Form();
        cluster.Members.Network.Default = link;
        cluster.StartLoad();
        cluster.Simulation.Run(TimeSpan.FromSeconds(20));
        cluster.StopLoad();
        cluster.Members.Network.Default = Link.Good;
        cluster.CheckEverything();
    }

    /// <summary>Who owns the key, with one replica, and one who does not.</summary>
    private static (SimulatedNode Primary, SimulatedNode Replica, SimulatedNode Writer) PlacesOf(CacheCluster cluster, string key)
    {
        var table = CacheCluster.CacheOf(cluster.Nodes[0]).Replicator.Ownership.Current.Table;
        var names = table.Owners(Slot.Of(Encoding.UTF8.GetBytes(key))).ToArray().Select(index => table.Nodes[index].Name.ToString()).ToArray();
        var owners = names.Select(name => cluster.Nodes.Single(node => node.Name == name)).ToArray();
        return (owners[0], owners[1], cluster.Nodes.Except(owners).Single());
    }

    private static void WriteAll(CacheCluster cluster, SimulatedNode node)
    {
        for (var i = 0; i < 40; i++)
        {
            Start(cluster.WriteAsync(node, $"k{i}"));
        }
    }

    private static async void Start(Task write) => await write;
}
