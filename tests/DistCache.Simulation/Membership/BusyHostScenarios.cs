namespace DistCache.Simulation.Membership;

/// <summary>
/// A node that gets a fifth of a second of processor time now and then: it must not be removed, nor hold up the others.
/// </summary>
public sealed class BusyHostScenarios
{
    private const int Repetitions = 5;

    private static readonly TimeSpan Duration = TimeSpan.FromMinutes(3);

    [Test]
    public void Busy_PausedAgainAndAgain_StaysAndACrashIsAgreedOn([Values(3, 5, 10)] int nodes, [Values] ClusterProfile profile)
    {
        var times = Enumerable.Range(1, Repetitions).Select(seed => Detect(nodes, profile, seed)).Order().ToArray();

        TestContext.Out.WriteLine($"Agreed after {times[0]:F2} to {times[^1]:F2} s, median {times[Repetitions / 2]:F2}.");

        // Of three, one is dead and the busy one's probes prove nothing: nobody confirms the suspicion of the third, which lasts its maximum.
        var (lan, fast) = nodes == 3 ? (28, 10) : (7, 3.5);
        Assert.That(times[Repetitions / 2], Is.LessThanOrEqualTo(profile == ClusterProfile.Lan ? lan : fast));
    }

    /// <summary>Gives how long those who are not busy needed to agree on the crash of one of them; the busy one may be a pause or two later.</summary>
    private static double Detect(int nodes, ClusterProfile profile, int seed)
    {
        using var cluster = new Cluster(nodes, profile, seed).Form();
        var (busy, victim) = (cluster.Nodes[0], cluster.Nodes[1]);
        var end = cluster.Simulation.Elapsed + Duration;
        KeepBusy(cluster, busy, end);
        cluster.Simulation.Run(Duration / 3);
        Assert.That(cluster.Ownership.ChangesOfOthers(busy, cluster.Nodes), Is.Zero, () => $"Before the crash. {cluster.Simulation.Describe()}");

        victim.Crash(isMachineOff: true);
        var limit = cluster.SuspicionMaximum + (cluster.ProbeInterval * 6);
        var took = cluster.RunUntilAll(cluster.Others(busy), victim, MemberState.Dead, limit);
        cluster.RunUntilAll([busy], victim, MemberState.Dead, TimeSpan.FromSeconds(4));
        cluster.Simulation.Run(end + TimeSpan.FromSeconds(2) - cluster.Simulation.Elapsed);

        Assert.That(cluster.Ownership.Removals(busy, cluster.Nodes), Is.Zero, () => cluster.Simulation.Describe());
        Assert.That(cluster.Ownership.ChangesOfOthers(victim, cluster.Nodes), Is.Zero, () => cluster.Simulation.Describe());
        cluster.Converge(cluster.SettleWindow * 4);
        return took.TotalSeconds;
    }

    private static void KeepBusy(Cluster cluster, SimulatedNode node, TimeSpan end)
    {
        if (cluster.Simulation.Elapsed >= end)
        {
            return;
        }

        node.Pause();
        cluster.Simulation.Schedule(TimeSpan.FromSeconds(0.5 + cluster.Simulation.Random.NextDouble()), null, () =>
        {
            node.Resume();
            cluster.Simulation.Schedule(TimeSpan.FromSeconds(0.2), null, () => KeepBusy(cluster, node, end));
        });
    }
}
