using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Tests.Replication;

public sealed class WritePathTests
{
    private static readonly PeerFault Refused = new(FaultKind.Unreachable, "refused");

    [Test]
    public async Task Set_FromAnyNode_IsHeldByExactlyTheOwners()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        foreach (var node in cluster.Nodes)
        {
            var key = InMemoryCluster.KeyLedBy(node, cluster.Nodes[2]);
            var reply = await node.SetAsync(key, [1]);
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(cluster.Nodes.Where(other => other.Held(key) is not null), Is.EquivalentTo(cluster.OwnersOf(key)));
        }
    }

    [TestCase(WriteAck.Primary, 0, 1)]
    [TestCase(WriteAck.Majority, 0, 1)]
    [TestCase(WriteAck.Majority, 1, 2)]
    [TestCase(WriteAck.Majority, 2, 2)]
    [TestCase(WriteAck.Majority, 3, 3)]
    [TestCase(WriteAck.All, 2, 3)]
    public void CopiesNeeded_FollowsTheOption(WriteAck ack, int replicaCount, int expected) =>
        Assert.That(DistCache.Replication.WritePath.CopiesNeeded(ack, replicaCount), Is.EqualTo(expected));

    [Test]
    public async Task Set_WhereTheReplicaRefuses_PutsAStandInsCopyAndIsAcknowledged()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        var replica = cluster.OwnersOf(key).Last();
        cluster.Fault = (_, to, _) => to == replica ? Refused : null;

        var reply = await cluster.Nodes[0].SetAsync(key, [1]);

        var standIn = cluster.Nodes.Except(cluster.OwnersOf(key)).Single();
        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(reply.Copies, Is.EqualTo(2));
            Assert.That(standIn.Held(key), Is.EqualTo(new byte[] { 1 }));
        });
    }

    [Test]
    public async Task Set_WhereTheReplicaOfAnotherNodesSlotIsSilent_IsAcknowledgedBeforeTheWriterGivesItUp()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var writer = cluster.Nodes[0];
        var key = Enumerable.Range(0, 100).Select(skip => InMemoryCluster.KeyLedBy(writer, cluster.Nodes[1], skip))
            .First(key => !cluster.OwnersOf(key).Contains(writer));
        cluster.Silent.Add(cluster.OwnersOf(key).Last());

        var write = writer.SetAsync(key, [1]);

        // A writer waits for half of the timeout before it takes the primary for the silent one.
        cluster.Time.Advance((cluster.Options.Timeout / 2) - TimeSpan.FromMilliseconds(1));

        Assert.That(write.IsCompleted);
        var reply = await write;
        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(reply.Copies, Is.EqualTo(2));
        });
    }

    [Test]
    public async Task Set_WhereThePrimaryRefuses_GoesToTheNextOwner()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        cluster.Fault = (_, to, _) => to == cluster.Nodes[1] ? Refused : null;

        var reply = await cluster.Nodes[0].SetAsync(key, [1]);

        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(cluster.Nodes.Count(node => node.Held(key) is not null), Is.EqualTo(2));
        });
    }

    [Test]
    public async Task Set_WhereNobodyElseAnswers_NeedsOnlyTheCopiesThatAreReachable()
    {
        using var cluster = new InMemoryCluster("a", "b");
        cluster.Fault = (_, _, _) => Refused;
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);

        var reply = await cluster.Nodes[0].SetAsync(key, [1]);

        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(reply.Copies, Is.EqualTo(1));
        });
    }

    [Test]
    public async Task Set_BelowMinimumMembers_IsRefusedWithBothNumbers()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { MinimumMembers = 3 }, "a", "b");
        var reply = await cluster.Nodes[0].SetAsync(InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]), [1]);
        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.TooFewMembers));
            Assert.That(reply.NeededCopies, Is.EqualTo(3));
            Assert.That(reply.Copies, Is.EqualTo(2));
        });
    }

    [Test]
    public async Task Set_WhereAReplicaHoldsAHigherVersion_IsStampedAboveIt()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        var ahead = (ulong)cluster.Time.GetUtcNow().AddHours(1).ToUnixTimeMilliseconds() << 16;
        var replica = cluster.Nodes[1];
        replica.Replicator.Writes.Take(
            new EntryRecord(key, new EntryVersion(ahead, 7), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 9 }), out _);

        var reply = await cluster.Nodes[0].SetAsync(key, [1]);

        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(cluster.Nodes.Select(node => node.Held(key)), Is.All.EqualTo(new byte[] { 1 }));
        });
    }

    [Test]
    public async Task Remove_LeavesATombstoneOnEveryOwner()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        await cluster.Nodes[0].SetAsync(key, [1]);
        await cluster.Nodes[2].RemoveAsync(key);
        foreach (var owner in cluster.OwnersOf(key))
        {
            Assert.That(
                owner.Memory.Read(key, [], renew: false, out _, out _), Is.EqualTo(DistCache.Memory.LookupOutcome.Tombstone));
        }

        Assert.That(await cluster.Nodes[0].GetAsync(key), Is.Null);
    }

    [Test]
    public void Replicate_OfAVersionFromTheFarFuture_IsRefusedAndChangesNothing()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var node = cluster.Nodes[1];
        var key = InMemoryCluster.KeyLedBy(node, node);
        var future = (ulong)cluster.Time.GetUtcNow().AddHours(25).ToUnixTimeMilliseconds() << 16;
        var entry = new EntryRecord(key, new EntryVersion(future, 1), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 1 });

        var reply = node.Replicator.Writes.Handle(new ReplicateRequest(entry, 0, StandIn: false));

        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(ReplicateOutcome.Refused));
            Assert.That(node.Held(key), Is.Null);
        });
    }

    [Test]
    public void Replicate_ToANodeThatDoesNotOwnTheSlot_IsNotMine()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        var stranger = cluster.Nodes.Except(cluster.OwnersOf(key)).Single();
        var entry = new EntryRecord(key, new EntryVersion(1, 1), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 1 });
        Assert.Multiple(() =>
        {
            Assert.That(stranger.Replicator.Writes.Handle(new ReplicateRequest(entry, 0, StandIn: false)).Outcome, Is.EqualTo(ReplicateOutcome.NotMine));
            Assert.That(stranger.Held(key), Is.Null);
            Assert.That(stranger.Replicator.Writes.Handle(new ReplicateRequest(entry, 0, StandIn: true)).Outcome, Is.EqualTo(ReplicateOutcome.Applied));
        });
    }

    [Test]
    public async Task Set_AcknowledgedPastAPrimaryThatWasCutOffForAMoment_IsReadAfterwards()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        await cluster.Nodes[0].SetAsync(key, [1]);
        cluster.Fault = static (_, _, _) => Refused;
        var reply = await cluster.Nodes[1].SetAsync(key, [2]);
        cluster.Fault = static (_, _, _) => null;
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(await cluster.Nodes[1].GetAsync(key), Is.EqualTo(new byte[] { 2 }), "it was offered what it missed");
    }

    [Test]
    public async Task Set_WhereOwnersAndStandInsAreSilent_EndsWithinTheTimeout()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d", "e", "f", "g", "h");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        cluster.Fault = (_, _, request) =>
        {
            cluster.Time.Jump(request is ReplicateRequest ? cluster.Options.Timeout / 2 : TimeSpan.Zero);
            return PeerFault.TimedOut;
        };
        var started = cluster.Time.GetTimestamp();
        await cluster.Nodes[0].SetAsync(key, [1]);
        Assert.That(cluster.Time.GetElapsedTime(started), Is.LessThanOrEqualTo(cluster.Options.Timeout));
    }
}
