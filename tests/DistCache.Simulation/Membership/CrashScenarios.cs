namespace DistCache.Simulation.Membership;

public sealed class CrashScenarios
{
    [Test]
    public void Crash_OfOneSilently_AgreedOnWithinTheMedian(
        [Values(3, 5, 10, 100)] int nodes, [Values] ClusterProfile profile)
    {
        using var cluster = new Cluster(nodes, profile).Form();
        var victim = cluster.Nodes[nodes / 2];

        victim.Crash(isMachineOff: true);
        var took = cluster.RunUntilAll(cluster.Others(), victim, MemberState.Dead, cluster.SuspicionMaximum);

        TestContext.Out.WriteLine($"All agreed after {took.TotalSeconds:F2} s.");
        cluster.Converge(cluster.SettleWindow * 4);
    }
}
