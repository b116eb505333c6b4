using System.Text;
using DistCache.Tests.Replication;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests;

/// <summary>What a node writes by itself, as there is nobody to tell, while somebody comes.</summary>
public sealed class LoneWriteTests
{
    /// <summary>
    /// 1. The node is alone, and begins to write. 2. Another one comes, owns the key, and reads the first to its end. 3. The first one holds the entry: the
    /// newcomer will not ask again. It comes whenever the write looks at the clock.
    /// </summary>
    [Test]
    public async Task Write_WhileAnotherNodeComes_IsHeldByThatWhenItIsAcknowledged([Values(1, 2, 3)] int moment, [Values] bool removes)
    {
        using var cluster = new InMemoryCluster("a");
        var (node, newcomer) = (cluster.Nodes[0], cluster.Add("b", 5_000));
        var options = new DistCacheOptions { Cluster = { Listen = "127.0.0.1:0" } };
        using var cache = new DistributedCache(
            node.Replicator.Ownership, node.Memory, node.Replicator.Reads, node.Replicator.Writes, node.Clock, cluster.Time, options, NullLogger.Instance);
        using var later = new InMemoryCluster("a", "b");
        var key = Encoding.UTF8.GetString(InMemoryCluster.KeyLedBy(later.Nodes[0], later.Nodes[1]));
        await cache.SetAsync(key, [1], new DistributedCacheEntryOptions());
        var looks = 0;
        cluster.Time.Asked = () =>
        {
            if (++looks == moment)
            {
                cluster.Nodes.Add(newcomer);
                cluster.Settle();
                cluster.Time.Advance(TimeSpan.FromSeconds(1));
            }
        };

        await (removes ? cache.RemoveAsync(key) : cache.SetAsync(key, [2], new DistributedCacheEntryOptions()));

        Assert.That(looks, Is.GreaterThan(moment), "the newcomer is there");
        cluster.Time.Asked = null;
        Assert.That(newcomer.Replicator.Ownership.Current.Import.IsComplete);
        Assert.That(newcomer.Held(Encoding.UTF8.GetBytes(key)), Is.EqualTo(removes ? null : new byte[] { 2 }));
    }
}
