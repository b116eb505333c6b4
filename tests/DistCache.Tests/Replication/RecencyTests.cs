using System.Text;
using DistCache.Memory;
using DistCache.Peers;
using DistCache.Replication;

namespace DistCache.Tests.Replication;

/// <summary>What is read at one owner is in use at the others: after a fail-over the hot set is still there.</summary>
public sealed class RecencyTests
{
    private const int ValueBytes = 30_000;

    /// <summary>The other owner is read by nobody, and twice as much as it can hold is written.</summary>
    [Test]
    public async Task Entry_ThatIsReadAtOneOwner_IsNotEvictedAtTheOther()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (read, unread) = (cluster.Nodes[0], cluster.Nodes[1]);
        var hot = InMemoryCluster.KeyLedBy(read, read);
        var cold = Encoding.UTF8.GetBytes("cold");
        await read.SetAsync(hot, new byte[ValueBytes]);
        await read.SetAsync(cold, new byte[ValueBytes]);
        for (var i = 0; i < 2 * unread.Memory.SizeLimit / ValueBytes; i++)
        {
            await read.SetAsync(Encoding.UTF8.GetBytes($"other{i}"), new byte[ValueBytes]);
            Assert.That(await read.GetAsync(hot), Is.Not.Null);
            if (i % 100 == 0)
            {
                cluster.Time.Advance(TimeSpan.FromSeconds(1));
            }
        }

        Assert.That(unread.Memory.Read(cold, [], renew: false, out _, out _), Is.Not.EqualTo(LookupOutcome.TooSmall), "it is full");
        Assert.That(unread.Memory.Read(hot, [], renew: false, out _, out _), Is.EqualTo(LookupOutcome.TooSmall));
    }

    /// <summary>However much is read.</summary>
    [Test]
    public async Task Uses_AreToldInOneMessageASecond_AndOnlyASampleOfThem()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (reader, other) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(reader, reader);
        await reader.SetAsync(key, [1]);
        cluster.Delivered.Clear();
        for (var i = 0; i < 3 * Recency.MaximumSample; i++)
        {
            await reader.GetAsync(key);
        }

        Assert.That(cluster.Delivered, Is.Empty);
        cluster.Time.Advance(Recency.BatchDelay);
        var touch = (TouchRequest)cluster.Delivered.Single(delivery => delivery.To == other.Identity.Name && delivery.Request is TouchRequest).Request;
        Assert.That(touch.Renewals, Has.Count.EqualTo(Recency.MaximumSample));

        await reader.GetAsync(key);
        cluster.Time.Advance(Recency.BatchDelay);
        Assert.That(cluster.Delivered.Count(static delivery => delivery.Request is TouchRequest), Is.EqualTo(2));
    }
}
