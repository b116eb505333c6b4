namespace DistCache.ClusterTests;

/// <summary>Many callers block at once where the thread pool has few threads, so that the answers wait behind the callers.</summary>
internal sealed class BlockedPoolTests : ClusterTest
{
    private const double TimeoutMilliseconds = 1_000;

    /// <summary>What the cache adds to that, and a machine that does other things at the same time.</summary>
    private const double SlackMilliseconds = 250 + 1_000;

    private const string StarvedEvent = "DistCache[600]";

    /// <summary>A pool as it is at the start grows while the callers block; one that cannot grow is starved for certain.</summary>
    [Test]
    public async Task Burst_OfBlockingCallers_ReturnsInTimeAndIsSaidOnce([Values] bool isPoolFixed)
    {
        // With so short a standstill nobody is given up by profile Lan.
        var cluster = NewCluster(2, NodeHost.ConsoleRole, "--DistCache:Replication:ReplicaCount=0", "--DistCache:Cluster:Profile=Lan");
        await cluster.StartAllAsync();
        var entries = await FillAsync(cluster, isPoolFixed ? 64 : 400, "blocked");
        string[] keys = [.. entries.Keys];
        var node = cluster[0];
        var before = await BestOfThreeAsync(() => node.TimeGetsAsync(keys));
        if (isPoolFixed)
        {
            await node.FixPoolAsync();
        }

        var (values, longest) = await node.GetBlockingAsync(keys);

        await cluster.WaitUntilAsync("throughput is normal", async () => await node.TimeGetsAsync(keys) < (3 * before) + 10, TimeSpan.FromSeconds(2));
        var lines = node.Errors.Split(StarvedEvent).Length - 1;
        var missed = values.Count(value => value is null);
        TestContext.Out.WriteLine($"{keys.Length} callers, {missed} misses, longest {longest:F0} ms, {lines} lines; {keys.Length} gets took {before:F1} ms before");
        Assert.Multiple(() =>
        {
            Assert.That(longest, Is.LessThan(TimeoutMilliseconds + SlackMilliseconds));
            Assert.That(keys.Where((key, i) => values[i] is not null && values[i] != entries[key]), Is.Empty, "a miss or the value");
            Assert.That(lines, Is.InRange(isPoolFixed ? 1 : 0, 1));
            Assert.That(missed, Is.AtLeast(isPoolFixed ? 1 : 0));
        });
    }

    private static async Task<double> BestOfThreeAsync(Func<Task<double>> measure)
    {
        double[] times = [await measure(), await measure(), await measure()];
        return times.Min();
    }
}
