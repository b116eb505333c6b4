using DistCache.Peers;

namespace DistCache.Simulation.Membership;

/// <summary>Nodes that die, and nodes that come back.</summary>
public sealed class CrashScenarios
{
    private const int Repetitions = 9;

    [Test]
    public void Crash_OfOneSilently_AgreedOnWithinTheMedian([Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile)
    {
        var times = Enumerable.Range(1, Repetitions).Select(seed => Detect(nodes, profile, seed, crashes: 1)).Order().ToArray();

        TestContext.Out.WriteLine($"Agreed after {times[0]:F2} to {times[^1]:F2} s, median {times[Repetitions / 2]:F2} s.");
        Assert.That(times[Repetitions / 2], Is.LessThanOrEqualTo(profile == ClusterProfile.Lan ? 6.5 : 3.3));
    }

    [Test]
    public void Crash_OfTwoAtOnceSilently_AgreedOnWithinTheMedian([Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile)
    {
        var times = Enumerable.Range(1, Repetitions).Select(seed => Detect(nodes, profile, seed, crashes: 2)).Order().ToArray();

        TestContext.Out.WriteLine($"Agreed after {times[0]:F2} to {times[^1]:F2} s, median {times[Repetitions / 2]:F2} s.");

        // The last of three has to probe both by turns, and nobody to ask.
        var slack = nodes == 3 ? 1.15 : 1;
        Assert.That(times[Repetitions / 2], Is.LessThanOrEqualTo((profile == ClusterProfile.Lan ? 7 : 3.5) * slack));
    }

    [TestCase(3, 2)]
    [TestCase(10, 3)]
    [TestCase(100, 1)]
    [TestCase(100, 2)]
    [TestCase(100, 33)]
    public void Crash_OfManySilently_AgreedOnBelowTheMaximumOfTheSuspicion(int nodes, int crashes)
    {
        var took = Detect(nodes, ClusterProfile.Lan, 1, crashes);

        TestContext.Out.WriteLine($"Agreed after {took:F2} s.");
        Assert.That(took, Is.LessThanOrEqualTo(nodes == 100 ? 20 : 12));
    }

    [TestCase(3, 1, ClusterProfile.Lan)]
    [TestCase(3, 1, ClusterProfile.Fast)]
    [TestCase(3, 2, ClusterProfile.Lan)]
    [TestCase(3, 2, ClusterProfile.Fast)]
    [TestCase(5, 1, ClusterProfile.Lan)]
    [TestCase(5, 1, ClusterProfile.Fast)]
    [TestCase(5, 2, ClusterProfile.Lan)]
    [TestCase(5, 2, ClusterProfile.Fast)]
    [TestCase(10, 1, ClusterProfile.Lan)]
    [TestCase(10, 1, ClusterProfile.Fast)]
    [TestCase(10, 3, ClusterProfile.Lan)]
    [TestCase(10, 3, ClusterProfile.Fast)]
    [TestCase(100, 1, ClusterProfile.Lan)]
    [TestCase(100, 1, ClusterProfile.Fast)]
    [TestCase(100, 33, ClusterProfile.Lan)]
    [TestCase(100, 33, ClusterProfile.Fast)]
    public void Crash_AddressesRefuse_AgreedOnWithinTwoSeconds(int nodes, int crashes, ClusterProfile profile)
    {
        using var cluster = new Cluster(nodes, profile).Form();
        var victims = cluster.Nodes.Take(crashes).ToArray();

        foreach (var victim in victims)
        {
            victim.Crash();
        }

        var survivors = cluster.Others().ToArray();
        var took = cluster.Simulation.RunUntil(
            () => survivors.All(observer => victims.All(victim => Cluster.StateOf(observer, victim) == MemberState.Dead)),
            TimeSpan.FromSeconds(2),
            "all survivors agree");
        TestContext.Out.WriteLine($"Agreed after {took.TotalSeconds:F2} s.");
        cluster.Converge(cluster.SettleWindow * 4);
    }

    [Test]
    public void Restart_FasterThanDetection_MovesNothing([Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile)
    {
        using var cluster = new Cluster(nodes, profile).Form();
        var victim = cluster.Nodes[1];
        var past = victim.Identity;

        victim.Crash();
        cluster.Simulation.Run(TimeSpan.FromMilliseconds(150));
        victim.Start();
        cluster.Simulation.Run(cluster.SettleWindow * 4);

        cluster.Converge(TimeSpan.FromSeconds(1));
        Assert.That(victim.Identity.Incarnation, Is.GreaterThan(past.Incarnation));
        Assert.That(cluster.Ownership.Removals(victim, cluster.Others(victim)), Is.Zero, () => cluster.Simulation.Describe());
    }

    /// <summary>While it was away others were refused, and their lanes remember that for up to a second: it says nothing of the new life.</summary>
    [Test]
    public void Restart_WhileOthersRememberRefusals_TheNewLifeIsNeverGivenUp([Values(3, 5)] int nodes, [Values] ClusterProfile profile)
    {
        for (var seed = 1; seed <= 40; seed++)
        {
            using var cluster = new Cluster(nodes, profile, seed).Form();
            var victim = cluster.Nodes[1];
            var deaths = 0;
            var life = long.MaxValue;
            foreach (var other in cluster.Others(victim))
            {
                other.Process.Membership.Loop.ViewChanged += view =>
                    deaths += view.Find(NodeName.Parse(victim.Name)) is { State: MemberState.Dead } member && member.Record.Identity.Incarnation >= life ? 1 : 0;
            }

            // Again and again, so that the rests become long.
            for (var time = 0; time < 4; time++)
            {
                victim.Crash();
                cluster.Simulation.Run(TimeSpan.FromMilliseconds(cluster.Simulation.Random.Next(10, 1_200)));
                victim.Start();
                life = victim.Identity.Incarnation;
                cluster.Simulation.Run(TimeSpan.FromMilliseconds(cluster.Simulation.Random.Next(300, 1_500)));
                Assert.That(deaths, Is.Zero, () => cluster.Simulation.Describe());
                life = long.MaxValue;
            }
        }
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    [TestCase(100)]
    public void Restart_OfAllInAnyOrder_OneClusterAgain(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan).Form();
        foreach (var node in cluster.Nodes)
        {
            node.Crash();
        }

        foreach (var node in cluster.Nodes)
        {
            cluster.Simulation.Schedule(TimeSpan.FromSeconds(3) * cluster.Simulation.Random.NextDouble(), null, node.Start);
        }

        cluster.Simulation.Run(TimeSpan.FromSeconds(3));
        cluster.Converge((cluster.RedialInterval * 2) + (cluster.SettleWindow * 4));
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    public void Restart_OneAfterAnother_NobodyStaysDead(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Fast).Form();
        foreach (var node in cluster.Nodes)
        {
            node.Crash();
            cluster.Simulation.Run(TimeSpan.FromSeconds(4));
            node.Start();
            cluster.Converge(TimeSpan.FromSeconds(10));
        }
    }

    [TestCase(3, false)]
    [TestCase(5, true)]
    [TestCase(10, false)]
    public void Restart_ClockSetBackAnHour_TakesTheIncarnationAfterItsPast(int nodes, bool isDetected)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan).Form();
        var victim = cluster.Nodes[1];
        var past = victim.Identity;

        victim.Crash();
        cluster.Simulation.Run(isDetected ? TimeSpan.FromSeconds(10) : TimeSpan.FromMilliseconds(100));
        victim.ClockError = TimeSpan.FromHours(-1);
        victim.Start();

        cluster.Converge(cluster.SettleWindow * 4);
        Assert.That(victim.Identity.Incarnation, Is.EqualTo(past.Incarnation + 1));
    }

    [TestCase(3, false)]
    [TestCase(5, false)]
    [TestCase(10, true)]
    public void Restart_SameNameOnANewAddress_IsTakenIn(int nodes, bool isClockSetBack)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan).Form();
        var pod = cluster.Nodes[nodes - 1];
        pod.Crash(isMachineOff: true);
        cluster.Simulation.Run(TimeSpan.FromMilliseconds(500));

        pod.Address = new("elsewhere", 7_600);
        pod.ClockError = isClockSetBack ? TimeSpan.FromHours(-1) : TimeSpan.Zero;
        pod.Start();

        cluster.Converge(cluster.SettleWindow * 4);
        Assert.That(cluster.Others(pod).Select(node => Cluster.Find(node, pod)!.Address), Is.All.EqualTo(pod.Address));
    }

    [TestCase(3)]
    [TestCase(5)]
    [TestCase(10)]
    public void Start_NameOfALiveProcess_TheLowerIncarnationServesAloneAndSaysSo(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan).Form();
        var first = cluster.Nodes[1];
        var second = cluster.Add(first.Name);
        second.Start();

        cluster.Simulation.Run(TimeSpan.FromSeconds(20));

        Assert.That(Cluster.ViewOf(first).Members, Has.Length.EqualTo(1));
        Assert.That(cluster.Simulation.Trace.Errors, Has.Exactly(1).Items);
        Assert.That(cluster.Simulation.Trace.Errors[0], Does.StartWith(first.Name).And.Contains(second.Address.ToString()));
        Assert.That(cluster.Others(first, second).Select(node => Cluster.Find(node, second)!.Address), Is.All.EqualTo(second.Address));
        Assert.That(Cluster.ViewOf(second).Members.Count(member => member.State == MemberState.Alive), Is.EqualTo(nodes));
    }

    private static double Detect(int nodes, ClusterProfile profile, int seed, int crashes)
    {
        using var cluster = new Cluster(nodes, profile, seed).Form();
        var victims = cluster.Nodes.Skip(1).Take(crashes).ToArray();
        foreach (var victim in victims)
        {
            victim.Crash(isMachineOff: true);
        }

        var survivors = cluster.Others().ToArray();
        var took = cluster.Simulation.RunUntil(
            () => survivors.All(observer => victims.All(victim => Cluster.StateOf(observer, victim) == MemberState.Dead)),
            cluster.SuspicionMaximum + (cluster.ProbeInterval * 4),
            "all survivors agree");
        cluster.Converge(cluster.SettleWindow * 4);
        return took.TotalSeconds;
    }
}
