using System.Text;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Tests.Replication;

public sealed class WritePathTests
{
    private static readonly PeerFault Refused = new(FaultKind.Unreachable, "refused");

    /// <summary>Takes a second on its way, at the slowest.</summary>
    private static readonly byte[] LargeValue = new byte[LaneLimits.SlowestBytesPerSecond];

    /// <summary>As long as a write rests that everybody has disowned.</summary>
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(50);

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

    /// <summary>It came back before its slots had another owner, and asked everybody before the writer heard of that: it will not ask again.</summary>
    [Test]
    public async Task Set_ThatPassesOverAnOwnerGivenUp_IsOwedToItUnderTheSameTable()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2 }, "a", "b", "c");
        var (writer, owner) = (cluster.Nodes[0], cluster.Nodes[2]);
        var key = InMemoryCluster.KeyLedBy(writer, owner);
        foreach (var other in cluster.Nodes.Where(node => node != owner))
        {
            other.See(cluster.Nodes, node => node == owner ? MemberState.Dead : MemberState.Alive);
        }

        await writer.SetAsync(key, [1]);
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(owner.Held(key), Is.Null, "nobody speaks to a dead one");

        cluster.Settle();
        cluster.Time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(owner.Held(key), Is.EqualTo(new byte[] { 1 }));
    }

    [Test]
    public async Task Set_WhereTheReplicaOfAnotherNodesSlotIsSilent_IsAcknowledgedBeforeTheWriterGivesItUp()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var writer = cluster.Nodes[0];
        var key = cluster.KeyOfOthers(writer, cluster.Nodes[1]);
        cluster.Silent.Add(cluster.OwnersOf(key).Last());

        var write = writer.SetAsync(key, [1]);

        // A writer waits for the owners a quarter of the timeout, and for the primary, whom it asks to lead then, half of it.
        cluster.Time.Advance((cluster.Options.Timeout * 3 / 4) - TimeSpan.FromMilliseconds(1));

        Assert.That(write.IsCompleted);
        var reply = await write;
        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(reply.Copies, Is.EqualTo(2));
        });
    }

    /// <summary>
    /// What each attempt may take longer, as the value is large, takes nothing from those that come after it: with two replicas and a writer that owns the
    /// second copy these are the primary, the third owner, and whoever stands in for it.
    /// </summary>
    [TestCase(1, new[] { 0 }, false)]
    [TestCase(1, new[] { 1 }, false)]
    [TestCase(2, new[] { 0, 2 }, true)]
    public async Task Set_OfALargeValue_WhereOwnersAreSilent_IsAcknowledged(int replicaCount, int[] silent, bool writerOwnsIt)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = replicaCount }, "a", "b", "c", "d", "e") { KeepsDelivered = false };
        var key = "k"u8.ToArray();
        var owners = cluster.OwnersOf(key).ToArray();
        cluster.Silent.UnionWith(silent.Select(position => owners[position]));
        var writer = writerOwnsIt ? owners[1] : cluster.Nodes.Except(owners).First();

        var write = writer.SetAsync(key, LargeValue);
        PassTimeFor(cluster, LargeValue);

        Assert.That(write.IsCompleted, Is.True);
        var reply = await write;
        Assert.That((reply.Outcome, reply.Copies), Is.EqualTo((WriteOutcome.Acknowledged, 2)));
    }

    [Test]
    public async Task Set_OfALargeValue_WhereTwoOfThreeOwnersAreSilent_IsLedByTheThird()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2 }, "a", "b", "c", "d", "e") { KeepsDelivered = false };
        var value = new byte[1 << 20];
        var key = "k"u8.ToArray();
        var owners = cluster.OwnersOf(key).ToArray();
        cluster.Silent.UnionWith(owners.Take(2));

        var write = cluster.Nodes.Except(owners).First().SetAsync(key, value);
        PassTimeFor(cluster, value);

        Assert.That(write.IsCompleted);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    /// <summary>That its copy is late says nothing about an owner, as the value is large; that a small question is not answered meanwhile does.</summary>
    [Test]
    public async Task Set_OfALargeValue_WhereAnOwnerIsSilentAndNobodyCanStandIn_NeedsOnlyTheCopiesThatAreReachable([Values(2, 3)] int nodes, [Range(0, 2)] int silent)
    {
        Assume.That(silent, Is.LessThan(nodes));
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = nodes - 1, WriteAck = WriteAck.All }, [.. "abc".Take(nodes).Select(static name => $"{name}")]) { KeepsDelivered = false };
        var key = "k"u8.ToArray();
        var owners = cluster.OwnersOf(key).ToArray();
        cluster.Silent.Add(owners[silent]);

        var write = owners[silent == 0 ? 1 : 0].SetAsync(key, LargeValue);
        PassTimeFor(cluster, LargeValue);

        Assert.That(write.IsCompleted);
        var reply = await write;
        Assert.That((reply.Outcome, reply.Copies), Is.EqualTo((WriteOutcome.Acknowledged, nodes - 1)));
    }

    [Test]
    public async Task Set_OfALargeValue_WhereNobodyAnswers_EndsInItsTime([Values] bool writerOwnsIt)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2, WriteAck = WriteAck.All }, "a", "b", "c", "d", "e", "f") { KeepsDelivered = false };
        var key = "k"u8.ToArray();
        var writer = writerOwnsIt ? cluster.OwnersOf(key).ElementAt(1) : cluster.Nodes.Except(cluster.OwnersOf(key)).First();
        cluster.Silent.UnionWith(cluster.Nodes.Where(node => node != writer));

        var write = writer.SetAsync(key, LargeValue);
        PassTimeFor(cluster, LargeValue);

        Assert.That(write.IsCompleted, Is.True);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Unavailable));
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

    /// <summary>It answers, so that its copy is needed, and does not take it; and nobody can stand in for it.</summary>
    [Test]
    public async Task Set_WhereAReplicaThatAnswersDoesNotTakeItsCopy_IsNotAcknowledgedInItsTime([Values] bool writerLeads)
    {
        using var cluster = new InMemoryCluster("a", "b");
        cluster.Fault = static (_, _, request) => request is ReplicateRequest ? new PeerFault(FaultKind.Failed, "a defect") : null;
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[writerLeads ? 0 : 1]);

        var write = cluster.Nodes[0].SetAsync(key, [1]);
        for (var elapsed = TimeSpan.Zero; elapsed < cluster.Options.Timeout - Step; elapsed += Step)
        {
            cluster.Time.Advance(Step);
        }

        Assert.That(write.IsCompleted);
        var reply = await write;
        Assert.That((reply.Outcome, reply.NeededCopies, reply.Copies), Is.EqualTo((WriteOutcome.Unavailable, 2, 1)));
    }

    /// <summary>It was back in another life by the time the copies were counted, so its own was needed; and the call to it had failed with the life before.</summary>
    [Test]
    public async Task Set_WhereAReplicaDoesNotTakeItsCopyForAMoment_IsAcknowledged([Values] bool writerLeads)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (writer, primary) = (cluster.Nodes[0], cluster.Nodes[writerLeads ? 0 : 1]);
        var key = InMemoryCluster.KeyLedBy(writer, primary);
        var isFailing = true;
        cluster.Fault = (_, _, request) => isFailing && request is ReplicateRequest ? new PeerFault(FaultKind.Failed, "its life ended") : null;

        await AssertIsAcknowledgedAfterARestAsync(cluster, writer.SetAsync(key, [1]), () => isFailing = false);
        Assert.That(cluster.OwnersOf(key).Select(owner => owner.Held(key)), Is.All.EqualTo(new byte[] { 1 }));
    }

    [Test]
    public async Task Set_OfALargeValue_WhereAReplicaDoesNotTakeItsCopy_IsSentNoMoreOftenThanASlowLinkCarries()
    {
        using var cluster = new InMemoryCluster("a", "b") { KeepsDelivered = false };
        var sent = 0;
        cluster.Fault = (_, _, request) => request is ReplicateRequest && sent++ >= 0 ? new PeerFault(FaultKind.Failed, "a defect") : null;

        var write = cluster.Nodes[0].SetAsync("k"u8.ToArray(), LargeValue);
        PassTimeFor(cluster, LargeValue);

        Assert.That(write.IsCompleted);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Unavailable));
        Assert.That(sent, Is.InRange(4, 10), "by each of the owners to the other, no more than once a second in five");
    }

    [Test]
    public void Set_WhoseCallerGivesUpWhileItRests_EndsAtOnce()
    {
        using var cluster = new InMemoryCluster("a", "b") { KeepsDelivered = false };
        cluster.Fault = static (_, _, request) => request is ReplicateRequest ? new PeerFault(FaultKind.Failed, "a defect") : null;
        using var caller = new CancellationTokenSource();
        var write = cluster.Nodes[0].SetAsync("k"u8.ToArray(), LargeValue, token: caller.Token);
        Assert.That(write.IsCompleted, Is.False);

        caller.Cancel();

        Assert.That(() => write.WaitAsync(Patience.Time), Throws.InstanceOf<OperationCanceledException>());
    }

    /// <summary>A question that is refused at once, as one timed out when it was dialled, is no reason to ask it again and again while the copy is on its way.</summary>
    [Test]
    public async Task Set_OfALargeValue_WhereSmallQuestionsFailAtOnce_AsksFewOfThem()
    {
        const int Limit = 100;
        using var cluster = new InMemoryCluster("a", "b") { KeepsDelivered = false };
        var (questions, isOnItsWay) = (0, new TaskCompletionSource());
        cluster.Hold = (_, _, request) => request is ReplicateRequest ? isOnItsWay.Task : null;
        cluster.Fault = (_, _, request) => request is TouchRequest ? ++questions < Limit ? PeerFault.TimedOut : Refused : null;

        var write = cluster.Nodes[0].SetAsync("k"u8.ToArray(), LargeValue);
        Assert.That(questions, Is.EqualTo(1));
        cluster.Time.Advance(LaneLimits.TimeFor(LargeValue.Length));
        Assert.That(questions, Is.InRange(2, 5), "as often as they might have been answered");

        isOnItsWay.SetResult();
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    /// <summary>One owner has no room; who could stand in fails for a moment.</summary>
    [Test]
    public async Task Set_ThatDoesNotFitIntoOneOwner_WhereAStandInFailsForAMoment_IsAcknowledged()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var writer = cluster.Nodes[0];
        var key = InMemoryCluster.KeyLedBy(writer, writer);
        var (isFailing, isStandIn) = (true, false);
        cluster.Fault = (_, _, request) =>
            (isStandIn = request is ReplicateRequest { StandIn: true }) && isFailing ? new PeerFault(FaultKind.Failed, "its life ended") : null;
        cluster.Replied = reply => reply is ReplicateReply copy && !isStandIn ? copy with { Outcome = ReplicateOutcome.Refused } : reply;

        await AssertIsAcknowledgedAfterARestAsync(cluster, writer.SetAsync(key, [1]), () => isFailing = false);
    }

    /// <summary>The primary refuses connections, and the replica takes its time: nobody else could be asked.</summary>
    [Test]
    public async Task Set_WhereOnlyOneOwnerIsLeft_WaitsForItAsLongAsThereIsTime()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var (writer, primary) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = cluster.KeyOfOthers(writer, primary);
        var replica = cluster.OwnersOf(key).Last();
        var isSlow = new TaskCompletionSource();
        cluster.Fault = (_, to, _) => to == primary ? Refused : null;
        cluster.Hold = (from, to, _) => from == writer && to == replica ? isSlow.Task : null;

        var write = writer.SetAsync(key, [1]);
        cluster.Time.Advance(cluster.Options.Timeout * 0.9);
        Assert.That(write.IsCompleted, Is.False);
        isSlow.SetResult();

        Assert.That((await write.WaitAsync(TimeSpan.FromMinutes(1))).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    /// <summary>It would not fit later either.</summary>
    [Test]
    public async Task Set_ThatDoesNotFitIntoTheOnlyOtherNode_EndsAtOnce([Values] bool writerLeads)
    {
        using var cluster = new InMemoryCluster("a", "b");
        cluster.Replied = static reply => reply is ReplicateReply copy ? copy with { Outcome = ReplicateOutcome.Refused } : reply;

        var write = cluster.Nodes[0].SetAsync(InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[writerLeads ? 0 : 1]), [1]);

        Assert.That(write.IsCompleted, Is.True, "no rest");
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.TooLarge));
    }

    /// <summary>Nobody takes a version from the far future, now or later.</summary>
    [Test]
    public async Task Set_ThatItsLeaderDoesNotTakeItself_EndsAtOnce()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var writer = cluster.Nodes[0];
        var key = cluster.KeyOfOthers(writer, cluster.Nodes[1]);
        var replica = cluster.OwnersOf(key).Last();
        cluster.Fault = (_, to, request) => to == replica && request is ReplicateRequest ? new PeerFault(FaultKind.Failed, "a defect") : null;
        cluster.Replied = static reply => reply is WriteReply ? new WriteReply(WriteOutcome.Unavailable, 0, NeededCopies: 1, Copies: 0) : reply;

        var write = writer.SetAsync(key, [1]);

        Assert.That(write.IsCompleted);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Unavailable));
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

    /// <summary>Also where so many others take it, afterwards, that it could be acknowledged without that replica.</summary>
    [Test]
    public async Task Set_WhereAReplicaHoldsAHigherVersion_IsStampedAboveIt([Values(1, 2)] int replicaCount)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = replicaCount }, ["a", "b", "c"]);
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        var ahead = (ulong)cluster.Time.GetUtcNow().AddHours(1).ToUnixTimeMilliseconds() << 16;
        var replica = cluster.OwnersOf(key).ElementAt(1);
        replica.Replicator.Owned.Take(
            new EntryRecord(key, new EntryVersion(ahead, 7), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 9 }), out _);

        var reply = await cluster.Nodes[0].SetAsync(key, [1]);

        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(cluster.OwnersOf(key).Select(node => node.Held(key)), Is.All.EqualTo(new byte[] { 1 }));
        });
    }

    /// <summary>The primary leads it from the start, and refuses the first stamp.</summary>
    [Test]
    public async Task Set_OfALargeValue_WhereThePrimaryHoldsAHigherVersion_IsStampedAboveIt()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (writer, primary) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(writer, primary);
        var ahead = (ulong)cluster.Time.GetUtcNow().AddHours(1).ToUnixTimeMilliseconds() << 16;
        primary.Replicator.Owned.Take(
            new EntryRecord(key, new EntryVersion(ahead, 7), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 9 }), out _);
        var value = new byte[LaneLimits.InlineBytes + 1];

        var reply = await writer.SetAsync(key, value);

        Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        foreach (var node in cluster.Nodes)
        {
            node.Memory.Read(key, [], renew: false, out var info, out var length);
            Assert.That(length, Is.EqualTo(value.Length));
            Assert.That(info.Version.Clock, Is.GreaterThan(ahead));
        }
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

    /// <summary>A silent primary costs one timeout: who waited for it, and who was asked to lead past it, do not wait for it again.</summary>
    [Test]
    public async Task Set_WhosePrimaryHasJustBeenSilent_WaitsForNobody()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var primary = cluster.Nodes[1];
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], primary);
        var writer = cluster.Nodes.Except(cluster.OwnersOf(key)).First();
        cluster.Silent.Add(primary);
        var first = writer.SetAsync(key, [1]);
        cluster.Time.Advance(cluster.Options.Timeout * 0.8);
        Assert.That((await first).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));

        var second = writer.SetAsync(key, [2]);

        Assert.That(second.IsCompleted, Is.True);
        Assert.That((await second).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    /// <summary>
    /// The old owner began to lead it before it knew of the new one, who may have read the old owner to its end by then: so the write counts only
    /// when the new owner has it. Here nothing is read, so that only the write itself can have brought it there.
    /// </summary>
    [Test]
    public async Task Set_WhoseTableChangesUnderWay_IsAcknowledgedByTheNewOwner()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        using var later = new InMemoryCluster("a", "b", "c", "d");
        var (writer, newcomer) = (cluster.Nodes[0], cluster.Add("d", 5_000));
        var key = Enumerable.Range(0, 1_000).Select(skip => InMemoryCluster.KeyLedBy(writer, writer, skip))
            .First(key => later.OwnersOf(key).First().Identity.Name == newcomer.Identity.Name);
        cluster.Fault = static (_, _, request) => request is TransferRequest ? PeerFault.TimedOut : null;
        var held = new TaskCompletionSource();
        cluster.Hold = (_, _, request) => request is ReplicateRequest ? held.Task : null;
        var write = writer.SetAsync(key, [1]);
        cluster.Nodes.Add(newcomer);
        cluster.Settle();
        cluster.Hold = static (_, _, _) => null;
        held.SetResult();

        var reply = await write.WaitAsync(Patience.Time);

        Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(newcomer.Held(key), Is.EqualTo(new byte[] { 1 }));
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
    public async Task Set_ThatWaitsForASlowReplica_HoldsUpNoOtherOfItsSlot()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var leader = cluster.Nodes[0];
        var slow = InMemoryCluster.KeyLedBy(leader, leader);
        byte[] other = [.. "{"u8, .. slow, .. "}other"u8];
        var arrival = new TaskCompletionSource();
        cluster.Hold = (_, _, request) => request is ReplicateRequest copy && copy.Entry.Key.Span.SequenceEqual(slow) ? arrival.Task : null;
        var waiting = leader.SetAsync(slow, [1]);

        Assert.That(Slot.Of(other), Is.EqualTo(Slot.Of(slow)));
        Assert.That((await leader.SetAsync(other, [2])).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(await cluster.Nodes[1].GetAsync(other), Is.EqualTo(new byte[] { 2 }));
        Assert.That(await cluster.Nodes[1].GetAsync(slow), Is.EqualTo(new byte[] { 1 }), "the key itself, at the leader");
        Assert.That(waiting.IsCompleted, Is.False);
        arrival.SetResult();
        Assert.That((await waiting).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    /// <summary>It can be read, so it can be removed, and stays away when copies are compared and released.</summary>
    [Test]
    public async Task Remove_OfAKeyThatOnlyOneNodeHolds_RemovesItThere([Values("its primary", "its replica", "a stranger")] string holder)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        var owners = cluster.OwnersOf(key).ToArray();
        var node = holder switch { "its primary" => owners[0], "its replica" => owners[1], _ => cluster.Nodes.Except(owners).Single() };
        node.Replicator.Owned.Take(new EntryRecord(key, new EntryVersion(node.Clock.Next(), 1), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 1 }), out _);
        Assert.That((await cluster.Nodes[2].RemoveAsync(key)).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        foreach (var reader in cluster.Nodes)
        {
            Assert.That(await reader.GetAsync(key), Is.Null);
            Assert.That(reader.Held(key), Is.Null);
        }
    }

    /// <summary>Each works by another table, in which the next one owns the key; the last one leaves.</summary>
    [Test]
    public async Task Request_WhereTablesDisagreeInACircle_IsForwardedByNobody()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b", "c");
        var (a, b, c) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        a.See([a, b], static _ => MemberState.Alive);
        b.See([b, c], static _ => MemberState.Alive);
        c.SeeLeaving([a], c);
        cluster.Time.Advance(TimeSpan.FromSeconds(10));
        var key = Enumerable.Range(0, 1_000).Select(i => Encoding.UTF8.GetBytes($"key{i}"))
            .First(key => OwnerBy(a, key) == b.Identity.Name && OwnerBy(b, key) == c.Identity.Name);
        Assert.That(OwnerBy(c, key), Is.EqualTo(a.Identity.Name));
        cluster.Delivered.Clear();
        await a.GetAsync(key);
        var write = a.SetAsync(key, [1]);
        for (var step = Step; step < cluster.Options.Timeout; step += Step)
        {
            Assert.That(write.IsCompleted, Is.False, "It asks for as long as it has time.");
            cluster.Time.Advance(Step);
        }

        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Unavailable));
        var asked = cluster.Delivered.Where(delivery => delivery.Request is ReadRequest or WriteRequest).ToList();
        Assert.That(asked, Is.Not.Empty);
        Assert.That(asked.Select(delivery => delivery.From), Is.All.EqualTo(a.Identity.Name));
        Assert.That(asked.Count(delivery => delivery.Request is ReadRequest), Is.LessThanOrEqualTo(4), "once and two retries, and what else there may be");
        Assert.That(asked.Count(delivery => delivery.Request is WriteRequest), Is.LessThanOrEqualTo(cluster.Options.Timeout / Step), "not without a rest");
        Assert.That(cluster.Nodes.Select(node => node.Held(key)), Is.All.Null, "nobody leads a write of what it does not own");
    }

    /// <summary>A node that joins knows some members before the others. Found by a rolling restart under load.</summary>
    [Test]
    public async Task Set_WhereTheWritersTableChangesMeanwhile_IsHeldByTheNewPrimaryWhenItIsAcknowledged()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (primary, joining) = (cluster.Nodes[0], cluster.Nodes[2]);
        joining.See(cluster.Nodes.Skip(1).ToArray(), static _ => MemberState.Alive);
        var key = Enumerable.Range(0, 1_000).Select(i => Encoding.UTF8.GetBytes($"key{i}"))
            .First(key => OwnerBy(primary, key) == primary.Identity.Name && OwnerBy(joining, key) == joining.Identity.Name);
        var arrival = new TaskCompletionSource();
        cluster.Hold = (_, _, request) => request is ReplicateRequest ? arrival.Task : null;
        var write = joining.SetAsync(key, [1]);
        Assert.That(write.IsCompleted, Is.False);
        joining.See(cluster.Nodes, static _ => MemberState.Alive);
        arrival.SetResult();
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(primary.Held(key), Is.EqualTo(new byte[] { 1 }));
    }

    /// <summary>What it is owed is offered again when the first offer did not arrive, long before the next round of anti-entropy.</summary>
    [Test]
    public async Task Set_ThatAnOwnerMissed_IsOfferedUntilItArrives()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        cluster.Fault = static (_, _, _) => Refused;
        await cluster.Nodes[1].SetAsync(key, [2], new RemainingTime(60_000, 0, 0));
        var lost = 0;
        cluster.Fault = (_, _, request) => request is ReplicateRequest && lost++ == 0 ? Refused : null;
        cluster.Time.Advance(TimeSpan.FromSeconds(3));
        Assert.That(lost, Is.Positive, "the first offer is lost");
        Assert.That(cluster.Nodes[0].Held(key), Is.EqualTo(new byte[] { 2 }));
        cluster.Time.Advance(TimeSpan.FromSeconds(57));
        Assert.That(cluster.Nodes[0].Held(key), Is.Null, "it lives no longer for that");
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

    private static async Task AssertIsAcknowledgedAfterARestAsync(InMemoryCluster cluster, Task<WriteReply> write, Action mend)
    {
        Assert.That(write.IsCompleted, Is.False, "there is time left");
        mend();
        cluster.Time.Advance(Step);

        Assert.That(write.IsCompleted);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    /// <summary>So long a write of this value may take, and no longer.</summary>
    private static void PassTimeFor(InMemoryCluster cluster, byte[] value) =>
        cluster.Time.Advance(cluster.Options.Timeout + DistCache.Replication.WritePath.ExtraTimeFor(value.Length) + TimeSpan.FromMilliseconds(1));

    internal static NodeName OwnerBy(InMemoryNode viewer, byte[] key)
    {
        var table = viewer.Replicator.Ownership.Current.Table;
        return table.Nodes[table.Owners(Slot.Of(key))[0]].Name;
    }
}
