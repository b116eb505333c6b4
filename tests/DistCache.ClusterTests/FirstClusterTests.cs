namespace DistCache.ClusterTests;

internal sealed class FirstClusterTests : ClusterTest
{
    private const int Keys = 2_000;

    [TestCase(0, 1, 2)]
    [TestCase(2, 0, 1)]
    public async Task ThreeNodes_StartedOneAfterTheOther_FormOneClusterInWhichAllReadAll(int first, int second, int third)
    {
        var cluster = NewCluster(3);
        await cluster.StartAsync(first);
        var before = await FillAsync(cluster, 100, "before");
        await cluster.StartAsync(second);
        await cluster.StartAsync(third);
        await cluster.WaitUntilAgreedAsync();

        await AssertHoldsAsync(cluster, before);
        await AssertHoldsAsync(cluster, await FillAsync(cluster, 100, "after"));
    }

    [Test]
    [Platform(Unix)]
    public async Task KilledNode_LosesNoAcknowledgedWrite_AndIsTakenBackOnTheSamePort()
    {
        var cluster = NewCluster(3);
        await cluster.StartAllAsync();
        var former = (await cluster[0].ViewAsync()).Find(Cluster.NameOf(1))!.Incarnation;
        var entries = await FillAsync(cluster, Keys, "early");

        await cluster.WaitUntilSafeAsync();
        await cluster[1].KillAsync();
        await AssertHoldsAsync(cluster, entries);
        await cluster.WaitUntilAgreedAsync();
        await AssertHoldsAsync(cluster, entries);
        var late = await FillAsync(cluster, Keys, "late");

        await cluster.StartAsync(1);
        await cluster.WaitUntilAgreedAsync();
        await AssertHoldsAsync(cluster, entries);
        await AssertHoldsAsync(cluster, late);
        foreach (var index in cluster.Running)
        {
            var seen = (await cluster[index].ViewAsync()).Find(Cluster.NameOf(1))!;
            Assert.That(seen.Incarnation, Is.GreaterThan(former), $"a new life, as {Cluster.NameOf(index)} sees it");
        }
    }

    [Test]
    public async Task RemovedKey_OnOneNode_IsGoneOnAll()
    {
        var cluster = NewCluster(3);
        await cluster.StartAllAsync();
        var entries = await FillAsync(cluster, 300, "removed");
        await Task.WhenAll(entries.Keys.Select((key, i) => cluster[i % 3].RemoveAsync(key)));

        foreach (var index in cluster.Running)
        {
            Assert.That(await cluster[index].GetAsync([.. entries.Keys]), Is.All.Null, $"on {Cluster.NameOf(index)}");
        }
    }
}
