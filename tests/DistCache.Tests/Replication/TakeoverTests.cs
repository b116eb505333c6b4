using System.Buffers;
using System.Text;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Tests.Wire;

namespace DistCache.Tests.Replication;

/// <summary>What a change of the table does to the entries: everything is where it belongs afterwards, and nowhere else.</summary>
public sealed class TakeoverTests
{
    private const int Keys = 300;

    [Test]
    public async Task Join_MovesEveryEntryToItsNewOwners()
    {
        using var cluster = new InMemoryCluster("a", "b");
        await FillAsync(cluster.Nodes[0]);
        cluster.Nodes.Add(cluster.Add("c", 2_000));
        cluster.Settle();
        await ConvergeAsync(cluster);
        AssertHeldByExactlyTheOwners(cluster);
    }

    [Test]
    public async Task Crash_RestoresEveryCopy()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        await FillAsync(cluster.Nodes[0]);
        cluster.Nodes.RemoveAt(1);
        cluster.Settle();
        await ConvergeAsync(cluster);
        AssertHeldByExactlyTheOwners(cluster);
    }

    [Test]
    public async Task Restart_FasterThanDetection_FillsTheNewLife()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        await FillAsync(cluster.Nodes[0]);
        cluster.Nodes[1] = cluster.Add("b", 9_000);
        cluster.Settle();
        await ConvergeAsync(cluster);
        AssertHeldByExactlyTheOwners(cluster);
    }

    [Test]
    public async Task Writes_MadeBeforeTheJoin_GoToTheirOwners()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var late = cluster.Add("c", 2_000);
        await FillAsync(late);
        cluster.Nodes.Add(late);
        cluster.Settle();
        await ConvergeAsync(cluster);
        AssertHeldByExactlyTheOwners(cluster);
    }

    [Test]
    public async Task Away_UntilGivenUp_LooksForWhatItMissedThoughItsTableNeverChanged()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        await FillAsync(cluster.Nodes[0]);
        var (a, b, c) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        var key = InMemoryCluster.KeyLedBy(a, c);
        a.See([a, b], _ => MemberState.Alive);
        b.See([a, b], _ => MemberState.Alive);
        await a.SetAsync(key, [42]);

        c.Refutation++;
        cluster.Settle();

        foreach (var node in cluster.Nodes)
        {
            Assert.That(await node.GetAsync(key), Is.EqualTo(new byte[] { 42 }), $"read through {node.Identity.Name}");
        }
    }

    [Test]
    public async Task Split_ThenMerge_KeepsTheLaterWriteOfEitherSide()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (a, b) = (cluster.Nodes[0], cluster.Nodes[1]);
        await FillAsync(a);
        a.See([a], _ => MemberState.Alive);
        b.See([b], _ => MemberState.Alive);
        await a.SetAsync(Key(1), [1]);
        cluster.Time.Advance(TimeSpan.FromMilliseconds(10));
        await b.SetAsync(Key(1), [2]);
        await b.RemoveAsync(Key(2));
        cluster.Time.Advance(TimeSpan.FromMilliseconds(10));
        await a.SetAsync(Key(3), [3]);

        cluster.Settle();
        await ConvergeAsync(cluster);

        foreach (var node in cluster.Nodes)
        {
            Assert.That(await node.GetAsync(Key(1)), Is.EqualTo(new byte[] { 2 }));
            Assert.That(await node.GetAsync(Key(2)), Is.Null);
            Assert.That(await node.GetAsync(Key(3)), Is.EqualTo(new byte[] { 3 }));
        }
    }

    [Test]
    public async Task WhileASourceIsSilent_ReadsAskItAndWritesGoOn([Values] ReadFrom readFrom)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0, ReadFrom = readFrom }, "a", "b");
        await FillAsync(cluster.Nodes[0]);
        var joiner = cluster.Add("c", 2_000);
        cluster.Nodes.Add(joiner);
        cluster.Fault = (_, _, request) => request is TransferRequest ? PeerFault.TimedOut : null;
        cluster.Settle();

        var key = Enumerable.Range(0, Keys).Select(Key).First(key => cluster.OwnersOf(key).Single() == joiner);
        Assert.That(joiner.Held(key), Is.Null, "nothing was transferred");
        foreach (var node in cluster.Nodes)
        {
            Assert.That(await node.GetAsync(key), Is.Not.Null, "the holder is asked");
        }

        await cluster.Nodes[0].SetAsync(key, [42]);
        Assert.That(await cluster.Nodes[1].GetAsync(key), Is.EqualTo(new byte[] { 42 }), "the higher version wins over the holder's");

        cluster.Fault = static (_, _, _) => null;
        await ConvergeAsync(cluster);
        AssertHeldByExactlyTheOwners(cluster, changed: key);
    }

    /// <summary>Before the holder offers the rest by itself: until then reads would miss it.</summary>
    [Test]
    public async Task Join_FetchesAllOfWhatTakesManyBatches()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a");
        for (var i = 0; i < Keys; i++)
        {
            await cluster.Nodes[0].SetAsync(Key(i), new byte[1_000]);
        }

        cluster.Nodes.Add(cluster.Add("b", 2_000));
        cluster.Settle();
        cluster.Time.Advance(DistCache.Replication.Release.Interval / 2);
        Assert.That(cluster.Nodes[1].Replicator.Ownership.Current.Import.IsComplete, Is.True);
        Assert.That(Enumerable.Range(0, Keys).Select(Key).Where(key => cluster.OwnersOf(key).Single().Held(key) is null), Is.Empty);
    }

    /// <summary>Who has failed to answer for a moment is passed over elsewhere; here nobody else has the entry.</summary>
    [Test]
    public async Task WhileASourceIsBehindAnOpenBreaker_ReadsAskItAllTheSame()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b");
        await FillAsync(cluster.Nodes[0]);
        var joiner = cluster.Add("c", 2_000);
        cluster.Nodes.Add(joiner);
        cluster.Fault = static (_, _, request) => request is HoldingsRequest ? new PeerFault(FaultKind.Unreachable, "refused") : null;
        cluster.Settle();
        cluster.Time.Advance(TimeSpan.FromMilliseconds(150));
        var routing = joiner.Replicator.Ownership.Current;
        Assert.That(routing.LiveMembers.Any(member => !routing.IsSelf(member) && joiner.Replicator.Calls.IsUsable(member)), Is.False);

        var key = Enumerable.Range(0, Keys).Select(Key).First(key => cluster.OwnersOf(key).Single() == joiner);
        Assert.That(await joiner.GetAsync(key), Is.Not.Null);
    }

    /// <summary>One wrong machine would drag everybody's clock along; the rest is fetched all the same.</summary>
    [Test]
    public void VersionFromTheFarFuture_IsNotFetched()
    {
        using var cluster = new InMemoryCluster("a");
        using var counted = new CountedMetrics();
        var future = (ulong)cluster.Time.GetUtcNow().AddHours(25).ToUnixTimeMilliseconds() << HybridClock.CounterBits;
        var wrong = new EntryInfo(new EntryVersion(future, 1), Expiration.None, 0, EntryFlags.None);
        cluster.Nodes[0].Memory.Apply(Key(1), wrong, new ReadOnlySequence<byte>([1]), out _);
        Take(cluster.Nodes[0], Key(2), 2);
        var taker = cluster.Add("b", 2_000);
        cluster.Nodes.Add(taker);
        cluster.Settle();
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Multiple(() =>
        {
            Assert.That(taker.Held(Key(2)), Is.Not.Null);
            Assert.That(taker.Held(Key(1)), Is.Null);
            Assert.That(taker.Clock.Current, Is.LessThan(future));
            Assert.That(counted["distcache.replication.refused/future_version"], Is.Positive);
        });
    }

    [Test]
    public async Task MembersThatAreSilent_DoNotKeepTheOthersFromBeingRead()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b", "c", "d", "e");
        var last = cluster.Nodes[4];
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], last);
        await cluster.Nodes[0].SetAsync(key, [1]);
        foreach (var node in cluster.Nodes.Take(4))
        {
            cluster.Silent.Add(node);
        }

        var joining = cluster.Add("0", 1);
        cluster.Nodes.Insert(0, joining);
        cluster.Settle();
        cluster.Time.Advance(TimeSpan.FromSeconds(15));
        Assert.That(cluster.Delivered.Where(delivery => delivery.From == joining.Identity.Name).Select(delivery => delivery.To), Has.Some.EqualTo(last.Identity.Name));
    }

    [Test]
    public async Task Leave_HandsEverythingOver()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b", "c");
        await FillAsync(cluster.Nodes[0]);
        var leaver = cluster.Nodes[2];
        var stay = cluster.Nodes.Take(2).ToArray();
        foreach (var node in cluster.Nodes)
        {
            node.SeeLeaving(stay, leaver);
        }

        for (var i = 0; i < 50 && !leaver.Replicator.IsHandedOver; i++)
        {
            cluster.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        Assert.That(leaver.Replicator.IsHandedOver, Is.True);
        cluster.Nodes.Remove(leaver);
        cluster.Settle();
        AssertHeldByExactlyTheOwners(cluster);
    }

    [Test]
    public async Task AfterAStandstill_TheOldPrimaryDoesNotAnswerWithWhatItMissed()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (asleep, key) = await SleepThroughAWriteAsync(cluster);
        Assert.That(asleep.Held(key), Is.EqualTo(new byte[] { 1 }), "it slept through the second write");
        Assert.That(asleep.Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.False, "before any timer had its turn, and with nobody to compare with");

        cluster.Fault = static (_, _, _) => null;

        Assert.That(await asleep.GetAsync(key), Is.EqualTo(new byte[] { 2 }));
        Assert.That(await cluster.Nodes[2].GetAsync(key), Is.EqualTo(new byte[] { 2 }));
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(asleep.Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.True, "after the comparison");
        Assert.That(asleep.Held(key), Is.EqualTo(new byte[] { 2 }));
    }

    /// <summary>After a split each side works by its own table until those of the other have settled.</summary>
    [Test]
    public async Task AMember_GivenUpForLong_IsAskedAsSoonAsItIsBack()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (here, there) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(here, here);
        await here.SetAsync(key, [1]);
        here.SeeLeaving([here], there, MemberState.Dead);
        there.SeeLeaving([there], here, MemberState.Dead);
        await there.SetAsync(key, [2]);
        Assert.That(await here.GetAsync(key), Is.EqualTo(new byte[] { 1 }), "nothing else is known here");

        here.See([here], [there], MemberState.Alive);

        Assert.That(here.Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.False);
        Assert.That(await here.GetAsync(key), Is.EqualTo(new byte[] { 2 }));
    }

    /// <summary>Each read asks two who own the key by the table here, and two who did on the other side; not everybody who is back.</summary>
    [Test]
    public async Task HalfOfTheCluster_GivenUpForLong_IsAskedByItsOwnTable()
    {
        using var cluster = new InMemoryCluster([.. Enumerable.Range(0, 40).Select(static number => $"node{number}")]);
        var (half, otherHalf) = (cluster.Nodes.Take(20).ToArray(), cluster.Nodes.Skip(20).ToArray());
        SeeEachOther(MemberState.Dead);
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        var (here, there) = (half[0], otherHalf[0]);
        var keys = Enumerable.Range(0, 50).Select(Key).ToArray();
        foreach (var key in keys)
        {
            await here.SetAsync(key, [1]);
            await there.SetAsync(key, [2]);
        }

        SeeEachOther(MemberState.Alive);

        foreach (var key in keys)
        {
            cluster.Delivered.Clear();
            Assert.That(await here.GetAsync(key), Is.EqualTo(new byte[] { 2 }));
            Assert.That(cluster.Delivered.Count(static delivered => delivered.Request is ReadRequest), Is.LessThanOrEqualTo(4));
        }

        void SeeEachOther(MemberState state)
        {
            foreach (var node in half)
            {
                node.See(half, otherHalf, state);
            }

            foreach (var node in otherHalf)
            {
                node.See(otherHalf, half, state);
            }
        }
    }

    /// <summary>Else every read of the larger side would ask it too, for a settle window.</summary>
    [Test]
    public void AMember_GivenUpForLongByTheLargerSide_IsAskedWhenItCounts()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (here, beside, there) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        here.SeeLeaving([here, beside], there, MemberState.Dead);
        var key = InMemoryCluster.KeyLedBy(here, here);

        here.SeeLeaving([here, beside], there, MemberState.Alive);

        Assert.That(here.Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.True);
    }

    /// <summary>It led writes that nobody else has; the table never changed, since it was back before that.</summary>
    [Test]
    public void AMember_GivenUpForAMoment_IsAskedForWhatItHas()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (here, away) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(here, here);
        here.See(cluster.Nodes, node => node == away ? MemberState.Dead : MemberState.Alive);
        Take(away, key, 2);
        here.See(cluster.Nodes, static _ => MemberState.Alive);
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(here.Held(key), Is.EqualTo(new byte[] { 2 }));
    }

    /// <summary>The replica had missed a write that a stand-in took: now that it leads it must not answer with what it has.</summary>
    [Test]
    public void AReplica_ThatLeadsNow_HasComparedWithTheOthers()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = Key(1);
        var (replica, standIn) = (cluster.OwnersOf(key).Last(), cluster.Nodes.Except(cluster.OwnersOf(key)).Single());
        var others = cluster.Nodes.Except([cluster.OwnersOf(key).First()]).ToArray();
        cluster.Fault = static (_, _, request) => request is CompareRequest or ReplicateRequest ? PeerFault.TimedOut : null;
        Take(replica, key, 1);
        cluster.Time.Advance(TimeSpan.FromMilliseconds(1));
        Take(standIn, key, 2);
        cluster.Settle(others);
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(cluster.Nodes.Where(node => others.Contains(node) && node.Replicator.Reads.AnswersAlone(Slot.Of(key))).Select(node => node.Held(key)), Is.EqualTo(new[] { new byte[] { 2 } }));
    }

    /// <summary>It came with what the owner has to fetch, and is silent; then the table changes once more, and nothing about this key.</summary>
    [Test]
    public void ATakeover_ThatAnotherTableEnds_GoesOnWithWhatWasMissing()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var owner = cluster.Nodes[0];
        var newcomer = cluster.Add("c", 3_000);
        cluster.Nodes.Add(newcomer);
        foreach (var key in Enumerable.Range(0, Keys))
        {
            Take(newcomer, Key(key), 1);
        }

        cluster.Fault = (from, to, request) => to == newcomer || request is CompareRequest or ReplicateRequest ? PeerFault.TimedOut : null;
        cluster.Settle();
        cluster.Nodes.Add(cluster.Add("d", 4_000));
        cluster.Settle();
        cluster.Fault = static (_, _, request) => request is CompareRequest or ReplicateRequest ? PeerFault.TimedOut : null;
        cluster.Time.Advance(TimeSpan.FromSeconds(5));
        var owned = Enumerable.Range(0, Keys).Select(Key).Where(key => cluster.OwnersOf(key).Contains(owner)).ToList();
        Assert.That(owned, Is.Not.Empty);
        Assert.That(owned.Select(owner.Held), Is.All.Not.Null);
    }

    /// <summary>Whoever owes it what it missed cannot pay.</summary>
    [Test]
    public async Task AfterAStandstill_OnceItsTimersRun_ItHasComparedBeforeItAnswersAlone()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (asleep, key) = await SleepThroughAWriteAsync(cluster);
        cluster.Fault = static (_, _, request) => request is CompareRequest or ReplicateRequest ? PeerFault.TimedOut : null;

        cluster.Time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(asleep.Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.True);
        Assert.That(asleep.Held(key), Is.EqualTo(new byte[] { 2 }));
    }

    [Test]
    public void SlidingEntry_ThatIsTakenOver_WasLastUsedWhereItCameFrom()
    {
        using var cluster = new InMemoryCluster("a");
        Take(cluster.Nodes[0], Key(1), 1, new RemainingTime(Expiration.Never, 20_000, 0));
        cluster.Time.Advance(TimeSpan.FromSeconds(15));
        var taker = cluster.Add("b", 2_000);
        cluster.Nodes.Add(taker);
        cluster.Settle();
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(taker.Held(Key(1)), Is.Not.Null, "it was taken over");
        cluster.Time.Advance(TimeSpan.FromSeconds(5));
        Assert.That(taker.Held(Key(1)), Is.Null);
    }

    [Test]
    public async Task AfterASuspicion_TheMemberComparesBeforeItAnswersAlone()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (suspected, other) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(suspected, suspected);
        await other.SetAsync(key, [1]);
        cluster.Fault = (from, to, _) => PeerFault.TimedOut;
        await other.SetAsync(key, [2]);
        cluster.Fault = static (_, _, _) => null;

        suspected.SeeRefuted();

        Assert.That(await suspected.GetAsync(key), Is.EqualTo(new byte[] { 2 }));
    }

    [Test]
    public async Task WhileAMemberIsNotSettled_WritesNeedNoCopyOnIt()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var alone = cluster.Nodes[0];
        alone.See([alone], [cluster.Nodes[1]], MemberState.Alive);
        var reply = await alone.SetAsync(Key(1), [1]);
        Assert.That(reply.Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    private static byte[] Key(int i) => Encoding.UTF8.GetBytes($"key{i}");

    private static byte[] Value(int i) => BitConverter.GetBytes(i);

    private static async Task FillAsync(InMemoryNode node)
    {
        for (var i = 0; i < Keys; i++)
        {
            Assert.That((await node.SetAsync(Key(i), Value(i))).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        }
    }

    private static async Task ConvergeAsync(InMemoryCluster cluster)
    {
        for (var i = 0; i < 50; i++)
        {
            cluster.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        Assert.That(cluster.Nodes.All(node => node.Replicator.Ownership.Current.Import.IsComplete), Is.True, "every import ends");
    }

    private static void AssertHeldByExactlyTheOwners(InMemoryCluster cluster, byte[]? changed = null)
    {
        for (var i = 0; i < Keys; i++)
        {
            var key = Key(i);
            var expected = changed is not null && key.AsSpan().SequenceEqual(changed) ? [42] : Value(i);
            Assert.That(cluster.Nodes.Where(node => node.Held(key) is not null), Is.EquivalentTo(cluster.OwnersOf(key)), $"key {i}");
            Assert.That(cluster.OwnersOf(key).Select(node => node.Held(key)), Is.All.EqualTo(expected), $"key {i}");
        }
    }

    [Test]
    public async Task AHandlerOfViewChangedThatThrows_DoesNotKeepTheTakeoverFromBeginning()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var seen = new TaskCompletionSource<ClusterView>(TaskCreationOptions.RunContinuationsAsynchronously);
        var observed = new DistCacheCluster(cluster.Nodes[0].Replicator, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        observed.ViewChanged += (_, view) =>
        {
            seen.TrySetResult(view);
            throw new InvalidOperationException("the application's");
        };
        cluster.Nodes.Add(cluster.Add("c", 5_000));
        cluster.Settle();
        await ConvergeAsync(cluster);
        Assert.That((await seen.Task.WaitAsync(Patience.Time)).Members, Has.Length.EqualTo(3));
    }

    [Test]
    public async Task ANodeThatRestartedAndHasNotJoined_NeitherAnswersNorLeadsAsPrimary()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        await cluster.Nodes[0].SetAsync(key, [1]);
        var hash = cluster.Nodes[0].Replicator.Ownership.Current.Table.Hash;
        var reborn = cluster.Add("b", 5_000, isOpen: false);
        var request = new ReadRequest(key, hash, Renew: true, WithValue: true, AsHolder: false);
        Assert.That(((ReadReply)await reborn.Replicator.Handle(reborn.Identity, request)!.Value).Outcome, Is.EqualTo(ReadOutcome.NotMine));
        var write = new WriteRequest(key, false, new EntryVersion(reborn.Clock.Next(), 1), RemainingTime.Unlimited, new byte[] { 2 }, WriteAck.Primary, hash, PassedOver: false);
        Assert.That(((WriteReply)await reborn.Replicator.Handle(reborn.Identity, write)!.Value).Outcome, Is.EqualTo(WriteOutcome.NotMine));
        Assert.That(reborn.Held(key), Is.Null);
        reborn.Replicator.Open();
        var reply = await reborn.Replicator.Handle(reborn.Identity, request)!.Value;
        Assert.That(DistCache.Replication.Inquiry.IsSettledBy(reply, hash, cluster.Options), Is.False, "a miss under another table");
    }

    private static void Take(InMemoryNode node, byte[] key, byte value, RemainingTime? remaining = null) => node.Replicator.Owned.Take(
        new EntryRecord(key, new EntryVersion(node.Clock.Next(), 1), remaining ?? RemainingTime.Unlimited, EntryFlags.None, new[] { value }), out _);

    /// <summary>The first node stands still for three seconds, in which the second one writes a key that it leads; nobody reaches it yet.</summary>
    private static async Task<(InMemoryNode Asleep, byte[] Key)> SleepThroughAWriteAsync(InMemoryCluster cluster)
    {
        var (asleep, other) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(asleep, asleep);
        await other.SetAsync(key, [1]);
        cluster.Fault = (from, to, _) => from == asleep || to == asleep ? PeerFault.TimedOut : null;
        cluster.Time.Jump(TimeSpan.FromSeconds(3));
        await other.SetAsync(key, [2]);
        return (asleep, key);
    }
}
