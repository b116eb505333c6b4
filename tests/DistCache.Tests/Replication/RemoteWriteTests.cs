using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Tests.Replication;

/// <summary>Writes that go to all owners at once, and what becomes of them where an owner does not take its copy.</summary>
[CancelAfter(Patience.Milliseconds)]
public sealed class RemoteWriteTests
{
    private static readonly ReplicationOptions ThreeOwners = new() { ReplicaCount = 2, WriteAck = WriteAck.Majority };

    private static readonly PeerFault Refused = new(FaultKind.Unreachable, "refused");

    [Test]
    public async Task Set_WhereAllOwnersTakeIt_IsOneMessageToEachOtherOwner()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        foreach (var primary in cluster.Nodes)
        {
            var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], primary);
            cluster.Delivered.Clear();

            var reply = await cluster.Nodes[0].SetAsync(key, [1]);

            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(cluster.Delivered.Select(sent => sent.Request), Is.All.TypeOf<ReplicateRequest>());
            Assert.That(
                cluster.Delivered.Select(sent => sent.To), Is.EqualTo(cluster.OwnersOf(key).Select(owner => owner.Identity.Name).Where(name => name != cluster.Nodes[0].Identity.Name)));
        }
    }

    [Test]
    public async Task Set_WhereAnOwnerDoesNotTakeIt_IsLedByThePrimaryUnderTheSameVersion()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var (writer, key) = FindStranger(cluster);
        var replica = cluster.OwnersOf(key).Last();
        cluster.Fault = (_, to, _) => to == replica ? Refused : null;

        var reply = await writer.SetAsync(key, [1]);

        var led = cluster.Delivered.Select(sent => sent.Request).OfType<WriteRequest>().Single();
        Assert.Multiple(() =>
        {
            Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            Assert.That(reply.Copies, Is.EqualTo(2), "the primary's and a stand-in's");
            Assert.That(
                cluster.Delivered.Select(sent => sent.Request).OfType<ReplicateRequest>().Select(copy => copy.Entry.Version), Is.All.EqualTo(led.Version));
        });
    }

    /// <summary>It did not take the copy, but the primary owes it that now.</summary>
    [Test]
    public async Task Set_WhereTheThirdOwnerFailsAfterTheAcknowledgement_IsOwedToItByThePrimary(CancellationToken token)
    {
        using var cluster = new InMemoryCluster(ThreeOwners, "a", "b", "c", "d");
        var (writer, key, third, isOnItsWay) = HoldTheThirdCopy(cluster);
        var reply = await writer.SetAsync(key, [1]).WaitAsync(token);
        Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        cluster.Fault = (_, to, _) => to == third ? Refused : null;
        isOnItsWay.SetResult();
        Assert.That(third.Held(key), Is.Null);

        cluster.Fault = static (_, _, _) => null;
        cluster.Time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(third.Held(key), Is.EqualTo(new byte[] { 1 }));
    }

    /// <summary>
    /// 1. A write is acknowledged by two of three. 2. Another one writes the key: all have that. 3. The third owner gets the first write, late,
    /// and says that it holds a higher version. 4. The first write must not be stamped again, or it would be the last one.
    /// </summary>
    [Test]
    public async Task Set_ThatIsAcknowledged_IsNeverStampedAgain(CancellationToken token)
    {
        using var cluster = new InMemoryCluster(ThreeOwners, "a", "b", "c", "d");
        var (writer, key, third, isOnItsWay) = HoldTheThirdCopy(cluster);
        await writer.SetAsync(key, [1]).WaitAsync(token);
        await cluster.OwnersOf(key).First().SetAsync(key, [2]).WaitAsync(token);

        isOnItsWay.SetResult();
        cluster.Time.Advance(TimeSpan.FromSeconds(2));

        Assert.That(cluster.OwnersOf(key).Select(owner => owner.Held(key)), Is.All.EqualTo(new byte[] { 2 }));
    }

    /// <summary>
    /// 1. A replica holds a higher version: the write is to be stamped again. 2. Its caller gives up, and writes the key again: all have that. 3. The
    /// first write must not be stamped above it. The caller does so in the moment in which the stamp is made.
    /// </summary>
    [Test]
    public async Task Set_WhoseCallerGivesUpWhileItIsStampedAgain_DoesNotSupersedeTheNextOne(CancellationToken token)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (writer, key) = FindStranger(cluster);
        var replica = cluster.OwnersOf(key).Last();
        var ahead = new EntryVersion((ulong)cluster.Time.GetUtcNow().AddHours(1).ToUnixTimeMilliseconds() << HybridClock.CounterBits, 7);
        replica.Replicator.Owned.Take(new EntryRecord(key, ahead, RemainingTime.Unlimited, EntryFlags.None, new byte[] { 9 }), out _);
        replica.Clock.TryMerge(ahead.Clock);
        using var caller = new CancellationTokenSource();
        Task<WriteReply>? next = null;
        cluster.Replied = reply =>
        {
            if (reply is ReplicateReply { Outcome: ReplicateOutcome.Older } && next is null)
            {
                cluster.Time.Asked = GiveUpAndWriteAgain;
            }

            return reply;
        };

        var write = writer.SetAsync(key, [1], token: caller.Token);

        Assert.That(async () => await write.WaitAsync(token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That((await next!.WaitAsync(token)).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(cluster.OwnersOf(key).Select(owner => owner.Held(key)), Is.All.EqualTo(new byte[] { 2 }));

        void GiveUpAndWriteAgain()
        {
            cluster.Time.Asked = null;
            caller.Cancel();
            next = writer.SetAsync(key, [2]);
        }
    }

    [Test]
    public async Task Set_WhereAnOwnerWorksByAnotherTable_IsNotAcknowledgedByItsCopy()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var (writer, key) = FindStranger(cluster);
        cluster.Replied = reply => reply is ReplicateReply copy ? copy with { TableHash = copy.TableHash + 1 } : reply;

        await writer.SetAsync(key, [1]);

        Assert.That(cluster.Delivered.Select(sent => sent.Request).OfType<WriteRequest>().Count(), Is.EqualTo(1), "the primary leads, by its own table");
    }

    [Test]
    public async Task Set_WhosePrimaryHasNotAnswered_IsNotAcknowledged(CancellationToken token)
    {
        using var cluster = new InMemoryCluster(ThreeOwners, "a", "b", "c", "d");
        var (writer, key) = FindStranger(cluster);
        var primary = cluster.OwnersOf(key).First();
        var isOnItsWay = new TaskCompletionSource();
        cluster.Hold = (_, to, _) => to == primary ? isOnItsWay.Task : null;

        var write = writer.SetAsync(key, [1]);

        Assert.That(cluster.OwnersOf(key).Skip(1).Select(owner => owner.Held(key)), Is.All.Not.Null);
        Assert.That(write.IsCompleted, Is.False, "reads ask the primary");
        isOnItsWay.SetResult();
        Assert.That((await write.WaitAsync(token)).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    [Test]
    public async Task Caller_ThatGivesUp_HearsOfItAndTheWriteGoesOn(CancellationToken token)
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var (writer, key) = FindStranger(cluster);
        var replica = cluster.OwnersOf(key).Last();
        var isOnItsWay = new TaskCompletionSource();
        cluster.Hold = (_, to, request) => to == replica && request is ReplicateRequest ? isOnItsWay.Task : null;
        using var caller = new CancellationTokenSource();
        var write = writer.SetAsync(key, [1], token: caller.Token);

        await caller.CancelAsync();

        Assert.That(async () => await write.WaitAsync(token), Throws.InstanceOf<OperationCanceledException>());
        isOnItsWay.SetResult();
        Assert.That(replica.Held(key), Is.EqualTo(new byte[] { 1 }));
        cluster.Hold = static (_, _, _) => null;
        Assert.That((await writer.SetAsync(key, [2])).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(cluster.OwnersOf(key).Select(owner => owner.Held(key)), Is.All.EqualTo(new byte[] { 2 }));
    }

    /// <summary>
    /// Many writers, replies on other threads in any order, some of them faults, some callers that give up: each write ends once, and one that is
    /// acknowledged is at all owners under its own value. Objects are used again all the time.
    /// </summary>
    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    public async Task Writes_OfManyThreads_EndOnceEachWithTheirOwnValue(int seed, CancellationToken token)
    {
        using var cluster = new InMemoryCluster(ThreeOwners, "a", "b", "c", "d") { KeepsDelivered = false };
        cluster.Hold = static (_, _, _) => Random.Shared.Next(2) == 0 ? null : Task.Run(static () => Thread.SpinWait(Random.Shared.Next(2_000)));

        // Not of the primary: one that fails is passed over, and gets its copy later.
        cluster.Fault = (_, to, request) => request is ReplicateRequest copy && Random.Shared.Next(50) == 0 && cluster.OwnersOf(copy.Entry.Key.ToArray()).First() != to
            ? new PeerFault(FaultKind.Failed, "sometimes")
            : null;
        await Task.WhenAll(Enumerable.Range(0, 8).Select(caller => Task.Run(
            async () =>
            {
                var random = new Random((seed * 100) + caller);
                var givenUp = new HashSet<int>();
                for (var i = 0; i < 400; i++)
                {
                    await WriteOnceAsync(cluster, cluster.Nodes[random.Next(4)], caller, givenUp, random, token);
                }
            },
            token)));

        static async Task WriteOnceAsync(InMemoryCluster cluster, InMemoryNode writer, int caller, HashSet<int> givenUp, Random random, CancellationToken token)
        {
            var number = random.Next(40);
            byte[] key = [(byte)caller, (byte)number];
            var value = new byte[random.Next(1, 200)];
            random.NextBytes(value);
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(token);
            var isGivenUp = random.Next(5) == 0;
            var write = writer.SetAsync(key, value, token: isGivenUp || random.Next(2) == 0 ? patience.Token : default);
            if (isGivenUp)
            {
                await patience.CancelAsync();
            }

            try
            {
                Assert.That((await write.WaitAsync(token)).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
            }
            catch (OperationCanceledException) when (isGivenUp)
            {
                // It may take effect at any time from now on.
                givenUp.Add(number);
            }

            // The third copy may still be under way.
            if (!givenUp.Contains(number))
            {
                Assert.That(cluster.OwnersOf(key).First().Held(key), Is.EqualTo(value));
            }
        }
    }

    /// <summary>What the writer sends to the third owner stays on its way.</summary>
    private static (InMemoryNode Writer, byte[] Key, InMemoryNode Third, TaskCompletionSource IsOnItsWay) HoldTheThirdCopy(InMemoryCluster cluster)
    {
        var (writer, key) = FindStranger(cluster);
        var third = cluster.OwnersOf(key).Last();
        var isOnItsWay = new TaskCompletionSource();
        cluster.Hold = (from, to, _) => from == writer && to == third ? isOnItsWay.Task : null;
        return (writer, key, third, isOnItsWay);
    }

    /// <summary>A node that owns nothing of a key that "b" leads.</summary>
    private static (InMemoryNode Writer, byte[] Key) FindStranger(InMemoryCluster cluster)
    {
        var writer = cluster.Nodes[0];
        return (writer, cluster.KeyOfOthers(writer, cluster.Nodes[1]));
    }
}
