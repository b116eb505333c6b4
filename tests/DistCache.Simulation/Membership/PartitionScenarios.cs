namespace DistCache.Simulation.Membership;

/// <summary>The network falls apart and comes together again: one view everywhere within two redial periods.</summary>
public sealed class PartitionScenarios
{
    public enum Shape
    {
        One,
        Minority,
        Half,
        Ring,
        Bridge,
    }

    [Test]
    public void Partition_Healed_OneViewWithinTwoRedials(
        [Values(3, 5, 10)] int nodes,
        [Values(Shape.One, Shape.Minority, Shape.Half, Shape.Bridge)] Shape shape,
        [Values(5, 30, 120, 600)] int seconds,
        [Values] ClusterProfile profile) => Split(nodes, shape, seconds, profile);

    /// <summary>Three in a ring are whole: each has both others for neighbours.</summary>
    [Test]
    public void Partition_IntoARingHealed_OneViewWithinTwoRedials(
        [Values(5, 10)] int nodes, [Values(5, 30, 120, 600)] int seconds, [Values] ClusterProfile profile) =>
        Split(nodes, Shape.Ring, seconds, profile);

    [TestCase(Shape.One)]
    [TestCase(Shape.Minority)]
    [TestCase(Shape.Ring)]
    [TestCase(Shape.Bridge)]
    [Category("Long")]
    public void Partition_OfAHundredHealed_OneView(Shape shape)
    {
        Assume.That(Swarm.IsLong, "DISTCACHE_LONG is not set.");
        Split(100, shape, 120, ClusterProfile.Lan);
    }

    [Test]
    public void Partition_OfAHundredInHalvesHealed_OneView() => Split(100, Shape.Half, 60, ClusterProfile.Lan);

    [TestCase(4)]
    [TestCase(10)]
    public void Partition_AllSeedsOnOneSide_HealsAllTheSame(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan, seeds: 2).Form();
        cluster.Cut(cluster.Nodes.Take(nodes / 2), cluster.Nodes.Skip(nodes / 2));
        cluster.Simulation.Run(TimeSpan.FromMinutes(2));

        cluster.Network.Heal();

        cluster.Converge((cluster.RedialInterval * 2) + (cluster.SettleWindow * 4));
    }

    private static void Split(int nodes, Shape shape, int seconds, ClusterProfile profile)
    {
        using var cluster = new Cluster(nodes, profile).Form();
        Cut(cluster, shape);
        Assert.That(CutLinks(cluster), Is.Not.Empty);
        cluster.Simulation.Run(TimeSpan.FromSeconds(seconds));

        cluster.Network.Heal();

        var took = cluster.Simulation.RunUntil(
            () => cluster.Nodes.All(node => cluster.Nodes.All(other => Cluster.StateOf(node, other) == MemberState.Alive)),
            cluster.RedialInterval * 2,
            "everybody sees everybody");
        TestContext.Out.WriteLine($"All saw all after {took.TotalSeconds:F1} s.");
        cluster.Converge(cluster.SettleWindow * 4);
    }

    private static void Cut(Cluster cluster, Shape shape)
    {
        var nodes = cluster.Nodes;
        var count = nodes.Count;
        switch (shape)
        {
            case Shape.One:
                cluster.Isolate(nodes[1]);
                break;
            case Shape.Minority:
                cluster.Cut(nodes.Take((count - 1) / 2), nodes.Skip((count - 1) / 2));
                break;
            case Shape.Half:
                cluster.Cut(nodes.Take(count / 2), nodes.Skip(count / 2));
                break;
            case Shape.Ring:
                CutUnless(cluster, (left, right) => right - left == 1 || right - left == count - 1);
                break;
            case Shape.Bridge:
                // Two halves, and the last node that reaches both.
                CutUnless(cluster, (left, right) => right == count - 1 || left < count / 2 == right < count / 2);
                break;
        }
    }

    private static IEnumerable<string> CutLinks(Cluster cluster) =>
        from left in cluster.Nodes
        from right in cluster.Nodes
        where left != right && cluster.Network[left.Address, right.Address].Loss >= 1
        select $"{left.Name} to {right.Name}";

    private static void CutUnless(Cluster cluster, Func<int, int, bool> isKept)
    {
        for (var left = 0; left < cluster.Nodes.Count; left++)
        {
            for (var right = left + 1; right < cluster.Nodes.Count; right++)
            {
                if (!isKept(left, right))
                {
                    cluster.Cut([cluster.Nodes[left]], [cluster.Nodes[right]]);
                }
            }
        }
    }
}
