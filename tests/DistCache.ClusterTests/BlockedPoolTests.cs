using System.Diagnostics;

namespace DistCache.ClusterTests;

/// <summary>Many callers block at once where the thread pool has few threads, so that the answers wait behind the callers.</summary>
internal sealed class BlockedPoolTests : ClusterTest
{
    private const double TimeoutMilliseconds = 1_000;

    /// <summary>What the cache waits beyond that, and as much for the turns of others before it waits, and for its way back.</summary>
    private const double SlackMilliseconds = 250 + 250;

    private const string StarvedEvent = "DistCache[600]";

    /// <summary>A pool as it is at the start grows while the callers block; one that cannot grow is starved for certain.</summary>
    [Test]
    public async Task Burst_OfBlockingCallers_ReturnsInTimeAndIsSaidOnce([Values] bool isPoolFixed)
    {
        // With so short a standstill nobody is given up by profile Lan.
        var cluster = NewCluster(2, NodeHost.ConsoleRole, "--DistCache:Replication:ReplicaCount=0", "--DistCache:Cluster:Profile=Lan", "--DistCache:Replication:OnReadFailure=Miss");
        await cluster.StartAllAsync();
        var entries = await FillAsync(cluster, isPoolFixed ? 64 : 400, "blocked");
        string[] keys = [.. entries.Keys];
        var node = cluster[0];
        if (isPoolFixed)
        {
            await node.FixPoolAsync();
        }

        var (values, longest) = await node.GetBlockingAsync(keys);
        var clock = Stopwatch.StartNew();

        await cluster.WaitUntilAsync(
            "who does not block gets every value again", async () => (await node.GetAsync(keys)).SequenceEqual(entries.Values), Cluster.AgreeTimeout);
        var wellAgain = clock.Elapsed;
        if (isPoolFixed)
        {
            await cluster.WaitUntilAsync("what is logged has come", () => Task.FromResult(node.Errors.Contains(StarvedEvent, StringComparison.Ordinal)), Cluster.AgreeTimeout);
        }

        var lines = node.Errors.Split(StarvedEvent).Length - 1;
        var missed = values.Count(value => value is null);
        TestContext.Out.WriteLine($"{keys.Length} callers, {missed} misses, longest {longest:F0} ms, {lines} lines; every value again after {wellAgain.TotalMilliseconds:F0} ms");
        Assert.Multiple(() =>
        {
            Assert.That(longest, Is.LessThan(TimeoutMilliseconds + SlackMilliseconds));
            Assert.That(keys.Where((key, i) => values[i] is not null && values[i] != entries[key]), Is.Empty, "a miss or the value");
            Assert.That(lines, Is.InRange(isPoolFixed ? 1 : 0, 1));
            Assert.That(missed, Is.AtLeast(isPoolFixed ? 1 : 0));
        });
    }
}
