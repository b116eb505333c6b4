
namespace DistCache.Simulation.Replication;

/// <summary>
/// Sides that were apart for longer than tombstones live: one stays and loses nothing, the others begin anew, and nothing of what they held
/// is seen by anybody.
/// </summary>
public sealed class ApartScenarios
{
    private const int Keys = 40;

    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(2);

    /// <summary>Tombstones have gone, those of removals just after the cut too.</summary>
    private static readonly TimeSpan TooLong = Lifetime + TimeSpan.FromMinutes(1);

    /// <summary>Detection, then ten rounds.</summary>
    private static readonly TimeSpan ReunionLimit = TimeSpan.FromSeconds(60);

    /// <summary>Who is on which side, and which of the sides stays.</summary>
    private static readonly object[] Cuts =
    [
        new object[] { "012|34", 0 },
        new object[] { "01|234", 1 },
        new object[] { "01|23", 0 },
        new object[] { "03|12", 0 },
        new object[] { "0|1", 0 },
        new object[] { "0|12", 1 },
        new object[] { "0|12|345", 2 },
        new object[] { "01|23|4", 0 },
        new object[] { "0|1|2", 0 },
        new object[] { "012345|6", 0 },
    ];

    [TestCaseSource(nameof(Cuts))]
    public void SmallerSide_BeginsAnew_AndNothingItHeldIsSeen(string cut, int stays)
    {
        using var cluster = Form(cut, out var sides);
        WriteOnBothSides(cluster, sides, stays);
        Heal(cluster, sides[stays], begins: sides.Where((_, i) => i != stays).SelectMany(side => side));
        cluster.CheckEverything();
    }

    /// <summary>By the higher version as ever: the tombstones are still there.</summary>
    [TestCase("012|34")]
    [TestCase("01|23")]
    public void Sides_ApartForLessThanTombstonesLive_BothStay(string cut)
    {
        using var cluster = Form(cut, out var sides);
        WriteAll(cluster, sides[0][0]);
        cluster.Simulation.Run(Lifetime / 2);
        WriteAll(cluster, sides[1][0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        var lives = LivesOf(cluster);
        cluster.Members.Network.Heal();
        cluster.CheckEverything();
        Assert.That(LivesOf(cluster), Is.EqualTo(lives));
    }

    /// <summary>What counts is who is there when they meet: one of three died meanwhile, and of two equal sides that with the smallest name stays.</summary>
    [TestCase("012|34", 2, 0)]
    [TestCase("034|12", 0, 1)]
    public void SideThatLostAMember_CountsThoseThatAreLeft(string cut, int dead, int stays)
    {
        using var cluster = Form(cut, out var sides);
        cluster.Nodes[dead].Crash(isMachineOff: true);
        sides = [.. sides.Select(side => side.Where(node => node.IsRunning).ToArray())];
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        WriteOnBothSides(cluster, sides, stays);
        Heal(cluster, sides[stays], begins: sides[1 - stays]);
        cluster.CheckEverything();
    }

    /// <summary>
    /// Neither of the two is known to the other side, and each knows the other side from what its own said. Until it hears that these are
    /// strangers, in the first round, it may show what they hold, so it is read when all is over.
    /// </summary>
    [TestCase("012|34", 0, 4, 0)]
    [TestCase("012|34", 2, 3, 0)]
    [TestCase("012|34", 1, 4, 0)]
    [TestCase("034|12", 0, 2, 0)]
    [TestCase("01|234", 1, 2, 1)]
    public void NodesThatStartedWhileApart_OnBothSides_ChangeNothing(string cut, int here, int there, int stays)
    {
        using var cluster = Form(cut, out var sides);
        WriteOnBothSides(cluster, sides, stays, beforeTheEnd: () =>
        {
            foreach (var restarted in new[] { here, there })
            {
                cluster.Nodes[restarted].Crash();
                cluster.Simulation.Run(TimeSpan.FromSeconds(15));
                cluster.Nodes[restarted].Start();
                cluster.Simulation.Run(TimeSpan.FromSeconds(15));
            }
        });
        Heal(cluster, [.. sides[stays].Where(node => node != cluster.Nodes[here] && node != cluster.Nodes[there])], begins: sides[1 - stays]);
        CheckReads(cluster, sides[stays]);
        cluster.CheckEverything();
    }

    /// <summary>A node of the smaller side that started anew while apart has its old copies from the others, and is known to none of the larger.</summary>
    [TestCase("012|34", 4, 0)]
    [TestCase("012|34", 3, 0)]
    [TestCase("01|234", 1, 1)]
    public void NodeThatStartedWhileApart_BringsNothingBack(string cut, int restarted, int stays)
    {
        using var cluster = Form(cut, out var sides);
        WriteOnBothSides(cluster, sides, stays, beforeTheEnd: () =>
        {
            cluster.Nodes[restarted].Crash();
            cluster.Simulation.Run(TimeSpan.FromSeconds(15));
            cluster.Nodes[restarted].Start();
            cluster.Simulation.Run(TimeSpan.FromSeconds(15));
        });
        Heal(cluster, sides[stays], begins: sides[1 - stays]);
        cluster.CheckEverything();
    }

    /// <summary>The same with a node that started on the larger side, of which the smaller knows nothing.</summary>
    [Test]
    public void NodeThatStartedOnTheLargerSide_StaysWithIt()
    {
        using var cluster = Form("012|34", out var sides);
        WriteOnBothSides(cluster, sides, stays: 0, beforeTheEnd: () =>
        {
            cluster.Nodes[0].Leave();
            cluster.Simulation.RunUntil(() => !cluster.Nodes[0].IsRunning, TimeSpan.FromSeconds(15), "it leaves");
            cluster.Nodes[0].Start();
            cluster.Simulation.Run(TimeSpan.FromSeconds(15));
        });
        Heal(cluster, sides[0], begins: sides[1]);
        cluster.CheckEverything();
    }

    /// <summary>The two smaller sides meet first, and then the one that is larger than both together.</summary>
    [Test]
    public void Sides_ThatMeetOneAfterTheOther_EndAsOne()
    {
        using var cluster = Form("0|12|3456", out var sides);
        WriteOnBothSides(cluster, sides, stays: 2);
        cluster.Members.Network.Heal();
        cluster.Members.Cut(sides[0].Concat(sides[1]), sides[2]);
        cluster.Simulation.Run(ReunionLimit);
        Heal(cluster, sides[2], begins: sides[0].Concat(sides[1]));
        cluster.CheckEverything();
    }

    /// <summary>Under load on every node, with cuts at other moments.</summary>
    [Test]
    public void Reunion_UnderLoad_LosesNoWriteOfTheLargerSide([Range(1, 6)] int seed)
    {
        using var cluster = new CacheCluster(5, seed, Keys, new ReplicationOptions { TombstoneLifetime = Lifetime }).Form();
        var sides = Cut(cluster, "034|12");
        cluster.Simulation.Run(TooLong);
        WriteAll(cluster, sides[0][0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(1));
        cluster.JudgesReads = false;
        cluster.StartLoad(on: sides[0]);
        var lives = LivesOf(cluster);
        cluster.Members.Network.Heal();
        cluster.Simulation.RunUntil(() => IsOne(cluster), ReunionLimit, "the sides are one");
        cluster.StopLoad();
        Assert.That(cluster.Nodes.Where(node => node.Identity.Incarnation != lives[node]), Is.EquivalentTo(sides[1]));
        cluster.CheckEverything();
    }

    /// <summary>
    /// Two nodes of the yielding side could not reach each other for a while, and what one wrote is on its way to the other when the one or the other begins
    /// anew: as a debt, as a comparison and as a transfer, with other delays for each seed.
    /// </summary>
    [Test]
    public void BeginningAnew_WhileCopiesAreOnTheirWay_TakesNoneOfThem([Values(1, 2)] int beginner, [Range(1, 8)] int seed)
    {
        var begins = TimeSpan.MaxValue;
        RunYieldingSide(seed, healedAt: begins, (cluster, sides) => begins = TimeUntilBegun(cluster, sides[1][beginner]));
        RunYieldingSide(seed, healedAt: begins - TimeSpan.FromMilliseconds(50), (cluster, sides) =>
        {
            Heal(cluster, sides[0], begins: sides[1]);
            cluster.CheckEverything();
        });
    }

    /// <param name="seed">Decides about delays.</param>
    /// <param name="healedAt">When its nodes reach each other again, from when the sides do.</param>
    /// <param name="then">The sides do.</param>
    private static void RunYieldingSide(int seed, TimeSpan healedAt, Action<CacheCluster, SimulatedNode[][]> then)
    {
        using var cluster = Form("012|345", out var sides, seed);
        WriteOnBothSides(cluster, sides, stays: 0);
        var (writer, cutOff) = (sides[1][1], sides[1][2]);
        cluster.Simulation.Schedule(TimeSpan.FromSeconds(8), null, () =>
        {
            cluster.Members.Cut([writer], [cutOff]);
            for (var i = 0; i < Keys; i++)
            {
                Start(CacheCluster.CacheOf(writer).WriteAsync($"k{i}", -2));
            }
        });
        if (healedAt < TimeSpan.MaxValue)
        {
            cluster.Simulation.Schedule(healedAt, null, () => Array.ForEach([(writer, cutOff), (cutOff, writer)], link => cluster.Members.SetLoss(link.Item1, link.Item2, 0)));
            cluster.Simulation.Schedule(healedAt + TimeSpan.FromMilliseconds(44 + (seed * 0.7)), null, () =>
                Array.ForEach(sides[1], static node => CacheCluster.CacheOf(node).Replicator.Ownership.Doubt(static () => TimeSpan.FromSeconds(1), static () => { })));
        }

        then(cluster, sides);
    }

    private static TimeSpan TimeUntilBegun(CacheCluster cluster, SimulatedNode node)
    {
        var life = node.Identity;
        cluster.Members.Network.Heal();
        var start = cluster.Simulation.Elapsed;
        while (node.Identity == life)
        {
            Assert.That(cluster.Simulation.Elapsed, Is.LessThan(start + ReunionLimit), () => cluster.Simulation.Describe());

            // A message takes up to a millisecond.
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(0.1));
        }

        return cluster.Simulation.Elapsed - start;
    }

    private static CacheCluster Form(string cut, out SimulatedNode[][] sides, int seed = 1)
    {
        var cluster = new CacheCluster(cut.Count(char.IsDigit), seed, Keys, options: new ReplicationOptions { TombstoneLifetime = Lifetime }).Form();
        for (var i = 0; i < Keys; i++)
        {
            // Not told to the history: where both copies are on the side that begins anew, they go with it.
            Start(CacheCluster.CacheOf(cluster.Nodes[0]).WriteAsync($"k{i}", -1));
        }

        cluster.Simulation.Run(TimeSpan.FromSeconds(40));
        sides = Cut(cluster, cut);
        return cluster;
    }

    private static SimulatedNode[][] Cut(CacheCluster cluster, string cut)
    {
        SimulatedNode[][] sides = [.. cut.Split('|').Select(side => side.Select(digit => cluster.Nodes[digit - '0']).ToArray())];
        foreach (var side in sides)
        {
            cluster.Members.Cut(side, cluster.Nodes.Except(side));
        }

        // Each side takes over what is left to it.
        cluster.Simulation.Run(TimeSpan.FromSeconds(20));
        return sides;
    }

    /// <summary>On the side that stays half of the keys is removed and half overwritten; on the others all are written, which nobody may see in the end.</summary>
    private static void WriteOnBothSides(CacheCluster cluster, SimulatedNode[][] sides, int stays, Action? beforeTheEnd = null)
    {
        WriteAll(cluster, sides[stays][^1]);
        cluster.Simulation.Run(TooLong / 2);
        beforeTheEnd?.Invoke();
        cluster.Simulation.Run(TooLong / 2);
        foreach (var node in sides[stays])
        {
            Assert.That(CacheCluster.CacheOf(node).Memory.Statistics.Tombstones, Is.Zero, "The scenario wants removals to be forgotten.");
        }

        // Later than all of the larger side, so that the higher version would win.
        foreach (var side in sides.Where(side => side != sides[stays]))
        {
            for (var i = 0; i < Keys; i++)
            {
                Start(CacheCluster.CacheOf(side[0]).WriteAsync($"k{i}", -2));
            }
        }

        cluster.Simulation.Run(TimeSpan.FromSeconds(2));
    }

    /// <summary>Until all are one; meanwhile the nodes of the side that stays read every key, and never see anything but their own.</summary>
    private static void Heal(CacheCluster cluster, SimulatedNode[] staying, IEnumerable<SimulatedNode> begins)
    {
        var lives = LivesOf(cluster);
        cluster.Members.Network.Heal();
        var limit = cluster.Simulation.Elapsed + ReunionLimit;
        while (!IsOne(cluster))
        {
            Assert.That(cluster.Simulation.Elapsed, Is.LessThan(limit), () => $"The sides do not become one. {cluster.Simulation.Describe()}");
            CheckReads(cluster, staying);
            cluster.Simulation.Run(TimeSpan.FromMilliseconds(100));
        }

        Assert.That(cluster.Simulation.RunningNodes.Where(node => node.Identity.Incarnation != lives[node]), Is.EquivalentTo(begins), () => cluster.Simulation.Describe());
    }

    private static void CheckReads(CacheCluster cluster, SimulatedNode[] staying)
    {
        foreach (var node in staying)
        {
            var reads = Enumerable.Range(0, Keys).Select(i => CacheCluster.CacheOf(node).ReadAsync($"k{i}")).ToArray();
            cluster.Simulation.RunUntil(() => reads.All(read => read.IsCompleted), cluster.Options.Timeout * 3, "reads end");
            for (var i = 0; i < Keys; i++)
            {
                var (_, value) = reads[i].Result;
                Assert.That(value, i % 2 == 0 ? Is.Null : Is.GreaterThanOrEqualTo(0), () => $"k{i} on {node.Name}. {cluster.Simulation.Describe()}");
            }
        }
    }

    private static Dictionary<SimulatedNode, long> LivesOf(CacheCluster cluster) =>
        cluster.Simulation.RunningNodes.ToDictionary(node => node, node => node.Identity.Incarnation);

    private static bool IsOne(CacheCluster cluster) => cluster.IsSettled()
        && cluster.Simulation.RunningNodes.All(node => CacheCluster.CacheOf(node).Replicator.Ownership.Current.Table.Nodes.Length == cluster.Simulation.RunningNodes.Count());

    private static void WriteAll(CacheCluster cluster, SimulatedNode node)
    {
        for (var i = 0; i < Keys; i++)
        {
            Start(cluster.WriteAsync(node, $"k{i}", isRemove: i % 2 == 0));
        }
    }

    private static async void Start(Task write) => await write;
}
