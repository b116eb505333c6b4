using System.Text;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Tests.Wire;

namespace DistCache.Tests.Replication;

/// <summary>What an owner does for a write: takes a copy, or leads it.</summary>
public sealed class OwnedWritesTests
{
    private static readonly PeerFault Refused = new(FaultKind.Unreachable, "refused");

    /// <summary>Its lanes are closed first: that it reaches nobody does not make its own copy enough, which ends with it.</summary>
    [Test]
    public async Task Write_LedByANodeThatCloses_IsNotAcknowledgedByItsCopyAlone([Values] bool closes)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        cluster.Fault = (from, _, _) => from == cluster.Nodes[0] ? Refused : null;
        if (closes)
        {
            cluster.Nodes[0].Replicator.Close();
        }

        var version = new EntryVersion(cluster.Nodes[1].Clock.Next(), 1);
        var reply = await cluster.Nodes[0].Replicator.Owned.HandleAsync(new WriteRequest(key, false, version, RemainingTime.Unlimited, new byte[] { 1 }, WriteAck.Majority, TableHash: 0, PassedOver: false));

        Assert.That(reply, Is.TypeOf<WriteReply>().With.Property("Outcome").EqualTo(closes ? WriteOutcome.NotMine : WriteOutcome.Acknowledged));
    }

    /// <summary>The others reach the primary, and reads of theirs ask nobody else.</summary>
    [TestCase(1, WriteAck.Primary, true)]
    [TestCase(2, WriteAck.Majority, true)]
    [TestCase(1, WriteAck.Primary, false)]
    [TestCase(1, WriteAck.Majority, false)]
    [TestCase(2, WriteAck.Majority, false)]
    public async Task Write_LedPastAPrimaryThatOnlyItsWriterDoesNotReach_IsAcknowledgedWhenThePrimaryHasIt(int replicaCount, WriteAck ack, bool isKnown)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = replicaCount, WriteAck = ack }, "a", "b", "c", "d");
        var (writer, primary) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = cluster.KeyOfOthers(writer, primary);
        cluster.Fault = (from, to, _) => from == writer && to == primary ? Refused : null;
        if (isKnown)
        {
            await writer.GetAsync(key);
        }

        var isOnItsWay = new TaskCompletionSource();
        cluster.Hold = (from, to, request) => from != writer && to == primary && request is ReplicateRequest ? isOnItsWay.Task : null;

        var write = writer.SetAsync(key, [1]);

        Assert.That(primary.Held(key), Is.Null);
        Assert.That(write.IsCompleted, Is.False);
        isOnItsWay.SetResult();
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(primary.Held(key), Is.EqualTo(new byte[] { 1 }));
    }

    [Test]
    public void Replicate_OfAVersionFromTheFarFuture_IsRefusedAndChangesNothing()
    {
        using var cluster = new InMemoryCluster("a", "b");
        using var counted = new CountedMetrics();
        var node = cluster.Nodes[1];
        var key = InMemoryCluster.KeyLedBy(node, node);
        var future = (ulong)cluster.Time.GetUtcNow().AddHours(25).ToUnixTimeMilliseconds() << 16;
        var entry = new EntryRecord(key, new EntryVersion(future, 1), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 1 });

        var reply = node.Replicator.Owned.Handle(new ReplicateRequest(entry, 0, StandIn: false));

        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(ReplicateOutcome.Refused));
            Assert.That(node.Held(key), Is.Null);
            Assert.That(node.Clock.Current, Is.LessThan(future));
            Assert.That(counted["distcache.replication.refused/future_version"], Is.EqualTo(1));
        });
    }

    [Test]
    public async Task Write_OfAVersionFromTheFarFuture_IsLedByNobodyAndChangesNothing()
    {
        using var cluster = new InMemoryCluster("a", "b");
        using var counted = new CountedMetrics();
        var node = cluster.Nodes[1];
        var key = InMemoryCluster.KeyLedBy(node, node);
        var future = (ulong)cluster.Time.GetUtcNow().AddHours(25).ToUnixTimeMilliseconds() << HybridClock.CounterBits;
        var request = new WriteRequest(key, false, new EntryVersion(future, 1), RemainingTime.Unlimited, new byte[] { 1 }, WriteAck.Majority, TableHash: 0, PassedOver: false);

        var reply = (WriteReply)await node.Replicator.Owned.HandleAsync(request);

        Assert.Multiple(() =>
        {
            Assert.That((reply.Outcome, reply.Copies), Is.EqualTo((WriteOutcome.Unavailable, 0)));
            Assert.That(cluster.Nodes.Select(each => each.Held(key)), Is.All.Null);
            Assert.That(node.Clock.Current, Is.LessThan(future));
            Assert.That(counted["distcache.replication.refused/future_version"], Is.EqualTo(1));
        });
    }

    [Test]
    public void Replicate_ToANodeThatDoesNotOwnTheSlot_IsNotMine()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        using var counted = new CountedMetrics();
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        var stranger = cluster.Nodes.Except(cluster.OwnersOf(key)).Single();
        var entry = new EntryRecord(key, new EntryVersion(1, 1), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 1 });
        Assert.Multiple(() =>
        {
            Assert.That(stranger.Replicator.Owned.Handle(new ReplicateRequest(entry, 0, StandIn: false)).Outcome, Is.EqualTo(ReplicateOutcome.NotMine));
            Assert.That(stranger.Held(key), Is.Null);
            Assert.That(counted["distcache.replication.refused/not_mine"], Is.EqualTo(1));
            Assert.That(stranger.Replicator.Owned.Handle(new ReplicateRequest(entry, 0, StandIn: true)).Outcome, Is.EqualTo(ReplicateOutcome.Applied));
        });
    }

    /// <summary>The second time after half of their life: they live no longer for that, be it counted from the write or from the last use.</summary>
    [Test]
    public void Copies_ThatComeTwice_ChangeNothing([Values] bool areSliding)
    {
        using var cluster = new InMemoryCluster("a");
        var node = cluster.Nodes[0];
        var life = areSliding ? new RemainingTime(Expiration.Never, 60_000, 30_000) : new RemainingTime(30_000, 0, 0);
        EntryRecord[] batch = [.. Enumerable.Range(0, 50).Select(i => new EntryRecord(
            Encoding.UTF8.GetBytes($"key{i}"), new EntryVersion(node.Clock.Next(), 1), i % 5 == 0 ? new RemainingTime(60_000, 0, 0) : life, i % 5 == 0 ? EntryFlags.Tombstone : EntryFlags.None, i % 5 == 0 ? default : new byte[] { 1 }))];
        Take(late: TimeSpan.Zero);
        cluster.Time.Advance(TimeSpan.FromSeconds(15));
        var before = (node.Memory.Statistics.Entries, node.Memory.Statistics.Tombstones, node.Memory.Statistics.Bytes, Digests());
        Take(late: TimeSpan.FromSeconds(15));
        Assert.That((node.Memory.Statistics.Entries, node.Memory.Statistics.Tombstones, node.Memory.Statistics.Bytes, Digests()), Is.EqualTo(before));
        cluster.Time.Advance(TimeSpan.FromSeconds(14));
        Assert.That(Array.FindAll(batch, entry => node.Held(entry.Key.ToArray()) is not null), Has.Length.EqualTo(40));
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(Array.FindAll(batch, entry => node.Held(entry.Key.ToArray()) is not null), Is.Empty);

        // What remained when it was sent; of a window what was idle by then, which whoever sends it again counts on.
        void Take(TimeSpan late) => Array.ForEach(
            batch, entry => node.Replicator.Owned.Take(areSliding ? entry with { Remaining = entry.Remaining with { Idle = entry.Remaining.Idle + (long)late.TotalMilliseconds } } : entry, out _));

        long Digests() => batch.Aggregate(0L, (sum, entry) => sum ^ node.Memory.DigestOf(Slot.Of(entry.Key.Span)));
    }

    /// <summary>Else the owner without room would go on giving what it had.</summary>
    [Test]
    public void Copy_ThatIsTooLargeHere_TakesWhatItSupersededAlong()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var node = cluster.Nodes[0];
        var key = InMemoryCluster.KeyLedBy(node, node);
        var (older, newer) = (new EntryVersion(node.Clock.Next(), 1), new EntryVersion(node.Clock.Next(), 1));
        node.Replicator.Owned.Take(new EntryRecord(key, older, RemainingTime.Unlimited, EntryFlags.None, new byte[] { 1 }), out _);
        var tooLarge = new EntryRecord(key, newer, RemainingTime.Unlimited, EntryFlags.None, new byte[node.Memory.SizeLimit]);
        Assert.That(node.Replicator.Owned.Handle(new ReplicateRequest(tooLarge, 0, StandIn: false)).Outcome, Is.EqualTo(ReplicateOutcome.Refused));
        Assert.That(node.Held(key), Is.Null);
    }
}
