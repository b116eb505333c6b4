using System.Text;
using DistCache.Entries;
using DistCache.Memory;
using DistCache.Peers;
using DistCache.Replication;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests.Replication;

public sealed class ReadPathTests
{
    private static readonly PeerFault Refused = new(FaultKind.Unreachable, "refused");

    [Test]
    public async Task Get_OnEveryNode_GivesTheAcknowledgedValue()
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        await cluster.Nodes[3].SetAsync(key, [1]);
        foreach (var node in cluster.Nodes)
        {
            Assert.That(await node.GetAsync(key), Is.EqualTo(new byte[] { 1 }));
        }
    }

    [Test]
    public async Task Get_AsksThePrimaryOnly()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2 }, "a", "b", "c", "d");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        await cluster.Nodes[0].SetAsync(key, [1]);
        cluster.Delivered.Clear();
        await cluster.Nodes[0].GetAsync(key);
        Assert.That(cluster.Delivered.Select(delivery => delivery.To), Is.EqualTo(new[] { cluster.Nodes[1].Identity.Name }));
    }

    /// <summary>The others go on without it: what it holds may be overwritten by now.</summary>
    [Test]
    public async Task Get_OfANodeThatHasStopped_ShowsNothingThatOthersMayHaveOverwritten([Values] bool isAlone)
    {
        using var cluster = new InMemoryCluster(isAlone ? ["a"] : ["a", "b"]);
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        await cluster.Nodes[0].SetAsync(key, [1]);

        cluster.Nodes[0].Replicator.Close();

        Assert.That(cluster.Nodes[0].Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.EqualTo(isAlone));
        Assert.That(isAlone || await cluster.Nodes[0].GetAsync(key) is null, Is.True);
    }

    /// <summary>It has given up all others, and its table has them still: what it takes it shows, be it the key's owner or not, and after its stop, too.</summary>
    [Test]
    public async Task SoleSurvivor_WhoseTableHasTheDeadStill_ShowsAndRemovesWhatItTakes([Values] bool isReplica, [Values] bool hasStopped)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var survivor = cluster.Nodes[0];
        var key = Enumerable.Range(0, 100).Select(static i => $"key{i}")
            .First(key => cluster.OwnersOf(Encoding.UTF8.GetBytes(key)).First() != survivor && cluster.OwnersOf(Encoding.UTF8.GetBytes(key)).Contains(survivor) == isReplica);
        survivor.See(cluster.Nodes, node => node == survivor ? MemberState.Alive : MemberState.Dead);
        var options = new DistCacheOptions { Replication = { OnReadFailure = OnReadFailure.Throw } };
        options.Cluster.Listen = "127.0.0.1:1";
        var replicator = survivor.Replicator;
        using var cache = new DistributedCache(
            replicator.Ownership, survivor.Memory, replicator.Reads, replicator.Writes, survivor.Clock, cluster.Time, options, NullLogger.Instance);
        replicator.Reads.Unanswered = cache.Unanswered;
        replicator.Writes.Unacknowledged = cache.ThrowUnacknowledged;
        if (hasStopped)
        {
            replicator.Close();
        }

        await cache.SetAsync(key, [1], new DistributedCacheEntryOptions());
        Assert.That(await cache.GetAsync(key), Is.EqualTo(new byte[] { 1 }));
        Assert.That(cache.Get(key), Is.EqualTo(new byte[] { 1 }));

        await cache.RemoveAsync(key);
        Assert.That(await cache.GetAsync(key), Is.Null);

        // Whoever comes back may hold it.
        Assert.That(survivor.Memory.Read(Encoding.UTF8.GetBytes(key), [], renew: false, out var info, out _), Is.EqualTo(LookupOutcome.Tombstone));
        Assert.That(info.Expiration.AbsoluteAt, Is.EqualTo((cluster.Time.GetUtcNow() + options.Replication.TombstoneLifetime).ToUnixTimeMilliseconds()));
    }

    /// <summary>They come back in the settle window, and have asked for what they missed before the survivor hears of them and is alone no more.</summary>
    [Test]
    public async Task SoleSurvivor_WhoseTableHasTheDeadStill_OwesThemWhatItTakes([Values] bool removes)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (survivor, other) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(survivor, other);
        await survivor.SetAsync(key, [1]);
        survivor.See(cluster.Nodes, node => node == survivor ? MemberState.Alive : MemberState.Dead);
        var options = new DistCacheOptions();
        options.Cluster.Listen = "127.0.0.1:1";
        var replicator = survivor.Replicator;
        using var cache = new DistributedCache(
            replicator.Ownership, survivor.Memory, replicator.Reads, replicator.Writes, survivor.Clock, cluster.Time, options, NullLogger.Instance);
        if (removes)
        {
            await cache.RemoveAsync(Encoding.UTF8.GetString(key));
        }
        else
        {
            await cache.SetAsync(Encoding.UTF8.GetString(key), [2], new DistributedCacheEntryOptions());
        }

        cluster.Fault = static (_, _, request) => request is DigestRequest or TransferRequest ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        survivor.See(cluster.Nodes, _ => MemberState.Alive);
        cluster.Time.Advance(2 * Debts.Interval);
        Assert.That(await other.GetAsync(key), Is.EqualTo(removes ? null : new byte[] { 2 }));
        Assert.That(other.Held(key), Is.EqualTo(removes ? null : new byte[] { 2 }));
    }

    [Test]
    public async Task Get_WhereThePrimaryRefuses_IsAnsweredByTheReplica()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        await cluster.Nodes[0].SetAsync(key, [1]);
        cluster.Fault = (_, to, _) => to == cluster.Nodes[1] ? Refused : null;
        foreach (var node in cluster.Nodes.Where(node => node != cluster.Nodes[1]))
        {
            Assert.That(await node.GetAsync(key), Is.EqualTo(new byte[] { 1 }));
        }
    }

    /// <summary>
    /// A join is settled sooner at one node than at another. By the new table the replica owns the key no more, by the asker's old one the newcomer does not own it yet,
    /// and the primary is gone.
    /// </summary>
    [Test]
    public async Task Get_WhereTheOnlyOwnerLeftDisownsTheKey_FindsItThere()
    {
        var (cluster, asker, key) = OfTwoTables(out var holder);
        using var _ = cluster;
        Assert.That(await asker.GetAsync(key), Is.EqualTo(new byte[] { 1 }));
        Assert.That(holder.Held(key), Is.EqualTo(new byte[] { 1 }));
    }

    [Test]
    public async Task Get_OfAKeyThatNobodyHolds_WhereTheOnlyOwnerLeftDisownsIt_IsNotAnswered()
    {
        var (cluster, asker, key) = OfTwoTables(out var holder);
        using var _ = cluster;
        holder.Memory.Clear();
        Assert.That(await asker.Replicator.Reads.ReadAsync(key, renew: true, withValue: true, default), Is.Null);
    }

    /// <summary>
    /// As a middlebox leaves a lane that it cut without a word: the primary is alive to everybody, and nothing that is asked on that lane arrives, until it is given
    /// up and dialled again.
    /// </summary>
    [TestCase(1, WriteAck.Majority)]
    [TestCase(2, WriteAck.Majority)]
    [TestCase(2, WriteAck.All)]
    public async Task Get_ThroughALaneThatSwallows_IsAHitWithinTheHedgeDelay(int replicas, WriteAck ack)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = replicas, WriteAck = ack }, "a", "b", "c", "d");
        var primary = cluster.Nodes[1];
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], primary);
        var reader = cluster.Nodes.Except(cluster.OwnersOf(key)).First();
        await reader.SetAsync(key, [1]);
        cluster.Silent.Add(primary);
        var slowest = TimeSpan.Zero;
        for (var end = cluster.Time.GetUtcNow() + TimeSpan.FromSeconds(7); cluster.Time.GetUtcNow() < end; cluster.Time.Advance(TimeSpan.FromMilliseconds(37)))
        {
            var startedAt = cluster.Time.GetUtcNow();
            var get = reader.GetAsync(key);
            while (!get.IsCompleted)
            {
                cluster.Time.Advance(TimeSpan.FromMilliseconds(1));
            }

            var took = cluster.Time.GetUtcNow() - startedAt;
            slowest = took > slowest ? took : slowest;
            Assert.That(await get, Is.EqualTo(new byte[] { 1 }));
        }

        Assert.That(slowest, Is.GreaterThan(TimeSpan.Zero).And.LessThanOrEqualTo(1.5 * Inquiry.HedgeDelay));
    }

    /// <summary>Each acknowledged write is at two of the three owners: one replica's answer is not enough without the primary's, both are.</summary>
    [TestCase(1)]
    [TestCase(2)]
    public async Task Get_WhereThePrimaryIsSilentAndOneReplicaMissedTheWrite_GivesTheOthers(int behind)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2 }, "a", "b", "c", "d");
        var primary = cluster.Nodes[1];
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], primary);
        var reader = cluster.Nodes.Except(cluster.OwnersOf(key)).First();
        await reader.SetAsync(key, [1]);
        var newer = new EntryRecord(key, new EntryVersion(reader.Clock.Next(), 5), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 2 });
        foreach (var owner in cluster.OwnersOf(key).Where((_, position) => position != behind))
        {
            owner.Replicator.Owned.Take(newer, out _);
        }

        cluster.Silent.Add(primary);
        var get = reader.GetAsync(key);
        cluster.Time.Advance(1.5 * Inquiry.HedgeDelay);
        Assert.That(get.IsCompleted, "it waits no longer for the primary");
        Assert.That(await get, Is.EqualTo(new byte[] { 2 }));
    }

    [Test]
    public async Task Get_WhereThePrimaryAndAReplicaAreSilent_IsAnsweredByTheThirdOwner()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2, WriteAck = WriteAck.All }, "a", "b", "c", "d");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        var reader = cluster.Nodes.Except(cluster.OwnersOf(key)).Single();
        await reader.SetAsync(key, [1]);
        cluster.Silent.UnionWith(cluster.OwnersOf(key).Take(2));
        var get = reader.GetAsync(key);
        cluster.Time.Advance(2.5 * Inquiry.HedgeDelay);
        Assert.That(get.IsCompleted, Is.True, "each costs a hedge delay");
        Assert.That(await get, Is.EqualTo(new byte[] { 1 }));
    }

    /// <summary>The table changed elsewhere. The members are exchanged, and the new owner's "nothing there" is an answer, and no failure.</summary>
    [Test]
    public async Task Get_OfNothing_WhereTheOwnerDisownsTheKey_IsAMissOfTheNewOwner()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b");
        var (reader, owner) = (cluster.Nodes[0], cluster.Nodes[1]);
        var keys = Enumerable.Range(0, 100).Select(skip => InMemoryCluster.KeyLedBy(reader, owner, skip)).ToArray();
        var newcomer = cluster.Add("c", 5_000);
        cluster.Nodes.Add(newcomer);
        owner.See(cluster.Nodes, static _ => MemberState.Alive);
        newcomer.See(cluster.Nodes, static _ => MemberState.Alive);
        var key = keys.First(key => InMemoryCluster.IsLedBy(owner, newcomer, key));
        reader.Replicator.Calls.Exchange = (_, _) =>
        {
            reader.See(cluster.Nodes, static _ => MemberState.Alive);
            return ValueTask.CompletedTask;
        };
        var reply = await reader.Replicator.Reads.ReadAsync(key, renew: true, withValue: true, default);
        Assert.That(reply?.Outcome, Is.EqualTo(ReadOutcome.Miss));
    }

    [Test]
    public async Task Get_WhereNoOwnerAnswers_IsUnanswered()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        var stranger = cluster.Nodes.Except(cluster.OwnersOf(key)).Single();
        await stranger.SetAsync(key, [1]);
        cluster.Fault = (_, _, _) => Refused;
        Assert.That(await stranger.Replicator.Reads.ReadAsync(key, renew: true, withValue: true, default), Is.Null);
    }

    [Test]
    public async Task Get_ByMajority_TakesTheHighestVersion()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2, ReadFrom = ReadFrom.Majority }, "a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        await cluster.Nodes[0].SetAsync(key, [1]);
        var second = cluster.OwnersOf(key).ElementAt(1);
        var newer = new EntryVersion(second.Clock.Next(), 5);
        second.Replicator.Owned.Take(new EntryRecord(key, newer, RemainingTime.Unlimited, EntryFlags.None, new byte[] { 2 }), out _);
        Assert.That(await cluster.Nodes[0].GetAsync(key), Is.EqualTo(new byte[] { 2 }));
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task Get_ByMajority_GivesTheNewestToThoseWhoAreBehind(bool isTombstone)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2, ReadFrom = ReadFrom.Majority }, "a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        await cluster.Nodes[0].SetAsync(key, [1]);
        var second = cluster.OwnersOf(key).ElementAt(1);
        var newer = new EntryVersion(second.Clock.Next(), 5);
        var flags = isTombstone ? EntryFlags.Tombstone : EntryFlags.None;
        second.Replicator.Owned.Take(new EntryRecord(key, newer, new RemainingTime(60_000, 0, 0), flags, new byte[] { 2 }), out _);
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        await cluster.Nodes[0].GetAsync(key);
        cluster.Nodes[0].Memory.Read(key, new byte[1], renew: false, out var info, out _);
        Assert.That((info.Version, info.IsTombstone), Is.EqualTo((newer, isTombstone)));
        cluster.Time.Advance(TimeSpan.FromSeconds(58));
        Assert.That(cluster.Nodes[0].Held(key), Is.Null, "it lives no longer for that");
    }

    [Test]
    public async Task Get_ThatIsHedged_GivesTheNewestToThoseWhoAreBehind()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2 }, "a", "b", "c", "d");
        var primary = cluster.Nodes[1];
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], primary);
        var (behind, ahead) = (cluster.OwnersOf(key).ElementAt(1), cluster.OwnersOf(key).ElementAt(2));
        var reader = cluster.Nodes.Except(cluster.OwnersOf(key)).Single();
        await reader.SetAsync(key, [1]);
        ahead.Replicator.Owned.Take(new EntryRecord(key, new EntryVersion(reader.Clock.Next(), 5), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 2 }), out _);
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        cluster.Silent.Add(primary);

        var get = reader.GetAsync(key);
        cluster.Time.Advance(1.5 * Inquiry.HedgeDelay);

        Assert.That(await get, Is.EqualTo(new byte[] { 2 }));
        Assert.That(behind.Held(key), Is.EqualTo(new byte[] { 2 }));
    }

    /// <summary>
    /// The newcomer has fetched nothing yet, and one of the replicas has not taken its copy yet: of the owners that have all they should have, two of three must
    /// answer.
    /// </summary>
    [Test]
    public async Task Get_ByMajority_DoesNotCountAnOwnerThatImports()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2, ReadFrom = ReadFrom.Majority }, "a", "b", "c", "d", "e");
        using var later = new InMemoryCluster(cluster.Options, "a", "b", "c", "d", "e", "f");
        var key = Enumerable.Range(0, 1_000).Select(static i => Encoding.UTF8.GetBytes($"key{i}"))
            .First(key => later.OwnersOf(key).First().Identity.Name == later.Nodes[5].Identity.Name);
        await cluster.Nodes[0].SetAsync(key, [1]);
        var before = cluster.OwnersOf(key).ToArray();
        cluster.Fault = static (_, _, request) => request is TransferRequest or CompareRequest or ReplicateRequest ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        cluster.Nodes.Add(cluster.Add("f", 5_000));
        cluster.Settle();
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        var owners = cluster.OwnersOf(key).ToArray();
        var newer = new EntryRecord(key, new EntryVersion(cluster.Nodes[0].Clock.Next(), 5), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 2 });
        foreach (var node in before.Except([owners[1]]))
        {
            node.Replicator.Owned.Take(newer, out _);
        }

        foreach (var reader in cluster.Nodes)
        {
            Assert.That(await reader.GetAsync(key), Is.EqualTo(new byte[] { 2 }), $"read through {reader.Identity.Name}");
        }
    }

    /// <summary>Who answered may have become a stranger since, to whose adversaries this node has yielded.</summary>
    [Test]
    public async Task Get_ThatIsAnsweredAfterTheTableChanged_RepairsNothing()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 1, ReadFrom = ReadFrom.Majority }, "a", "b");
        var (reader, other) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(reader, reader);
        other.Replicator.Owned.Take(new EntryRecord(key, new EntryVersion(other.Clock.Next(), 5), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 2 }), out _);
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        var answer = new TaskCompletionSource();
        cluster.Hold = (_, to, request) => to == other && request is ReadRequest ? answer.Task : null;
        var read = reader.GetAsync(key);
        reader.See([reader], _ => MemberState.Alive);
        answer.SetResult();
        Assert.That(await read, Is.EqualTo(new byte[] { 2 }));
        Assert.That(reader.Held(key), Is.Null);
    }

    [Test]
    public async Task Get_OfAWriteThatIsUnderWay_RepairsNothing()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 2, ReadFrom = ReadFrom.Majority }, "a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        var second = cluster.OwnersOf(key).ElementAt(1);
        second.Replicator.Owned.Take(new EntryRecord(key, new EntryVersion(second.Clock.Next(), 5), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 2 }), out _);
        await cluster.Nodes[0].GetAsync(key);
        Assert.That(cluster.Nodes[0].Held(key), Is.Null);
    }

    [Test]
    public async Task Get_FromNearest_AsksNobodyWhereThisNodeOwnsTheKey()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReadFrom = ReadFrom.Nearest }, "a", "b", "c");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[1]);
        var replica = cluster.OwnersOf(key).Last();
        Assert.Multiple(() =>
        {
            Assert.That(replica.Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.True);
            Assert.That(cluster.Nodes.Except(cluster.OwnersOf(key)).Single().Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.False);
        });
    }

    [Test]
    public async Task SlidingEntry_UsedAtThePrimary_LivesOnAtTheReplica()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        await cluster.Nodes[0].SetAsync(key, [1], new RemainingTime(Expiration.Never, 60_000, 0));
        for (var i = 0; i < 5; i++)
        {
            cluster.Time.Advance(TimeSpan.FromSeconds(40));
            Assert.That(await cluster.Nodes[0].GetAsync(key), Is.Not.Null);
        }

        cluster.Time.Advance(TimeSpan.FromSeconds(50));
        Assert.That(cluster.Nodes[1].Held(key), Is.Not.Null, "a tenth of the window early at most");
        cluster.Time.Advance(TimeSpan.FromSeconds(10));
        Assert.That(cluster.Nodes[1].Held(key), Is.Null, "never late");
    }

    /// <summary>A refresh takes no value, and a large one does not fit into the room that is there at first: both are uses.</summary>
    [Test]
    public async Task SlidingEntry_UsedInAnyWay_LivesOnAtTheReplica([Values] bool isLarge, [Values] bool withValue, [Values] bool isRemote, [Values(5, 60)] int window)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var primary = cluster.Nodes[0];
        var key = InMemoryCluster.KeyLedBy(primary, primary);
        var replica = cluster.OwnersOf(key).Last();
        var user = isRemote ? cluster.Nodes.Except(cluster.OwnersOf(key)).Single() : primary;
        await primary.SetAsync(key, new byte[isLarge ? 100_000 : 1], new RemainingTime(Expiration.Never, 1_000 * window, 0));
        for (var i = 0; i < 5; i++)
        {
            cluster.Time.Advance(TimeSpan.FromSeconds(window * 2 / 3.0));
            using var cache = new DistributedCache(
                user.Replicator.Ownership, user.Memory, user.Replicator.Reads, user.Replicator.Writes, user.Clock, cluster.Time, new DistCacheOptions(), NullLogger.Instance);
            if (withValue)
            {
                Assert.That(await cache.GetAsync(Encoding.UTF8.GetString(key)), Is.Not.Null);
            }
            else
            {
                await cache.RefreshAsync(Encoding.UTF8.GetString(key));
            }
        }

        cluster.Time.Advance(TimeSpan.FromSeconds(window * 2 / 3.0));
        Assert.That(replica.Memory.Read(key, [], renew: false, out _, out _), Is.EqualTo(LookupOutcome.TooSmall));
    }

    /// <summary>
    /// A replica used it while the primary was away, where it ended. When both meet again each imports from the other, and its end is no later version than
    /// its use.
    /// </summary>
    [Test]
    public async Task SlidingEntry_ThatEndedAtAnOwnerThatWasAway_IsShownWhileBothImport()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (away, user) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(away, away);
        await away.SetAsync(key, [1], new RemainingTime(Expiration.Never, 60_000, 0));
        cluster.Fault = static (_, _, _) => Refused;
        user.See(cluster.Nodes, node => node == away ? MemberState.Dead : MemberState.Alive);
        away.See(cluster.Nodes, node => node == user ? MemberState.Dead : MemberState.Alive);
        for (var i = 0; i < 2; i++)
        {
            cluster.Time.Advance(TimeSpan.FromSeconds(40));
            Assert.That(await user.GetAsync(key), Is.Not.Null);
        }

        Assert.That(away.Memory.Read(key, [], renew: false, out _, out _), Is.EqualTo(LookupOutcome.Tombstone));
        cluster.Fault = static (_, _, request) => request is TransferRequest or TouchRequest ? Refused : null;
        away.Refutation++;
        cluster.Settle();
        foreach (var node in cluster.Nodes)
        {
            Assert.That(await node.GetAsync(key), Is.EqualTo(new byte[] { 1 }), $"read through {node.Identity.Name}");
        }
    }

    /// <summary>Whether it is known not to answer, or turns out not to: a second later it answers again.</summary>
    [Test]
    public async Task SlidingEntry_UsedWhileAnOwnerCouldNotBeReached_LivesOnThere([Values] bool isKnown)
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (primary, replica) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(primary, primary);
        await primary.SetAsync(key, [1], new RemainingTime(Expiration.Never, 20_000, 0));
        cluster.Time.Advance(TimeSpan.FromSeconds(15));
        cluster.Fault = (_, to, _) => to == replica ? Refused : null;
        if (isKnown)
        {
            await primary.SetAsync(InMemoryCluster.KeyLedBy(primary, primary, skip: 1), [1]);
        }

        Assert.That(await primary.GetAsync(key), Is.Not.Null);
        cluster.Time.Advance(TimeSpan.FromSeconds(1));
        cluster.Fault = static (_, _, _) => null;
        cluster.Time.Advance(TimeSpan.FromSeconds(17));
        Assert.That(replica.Held(key), Is.Not.Null);
        cluster.Time.Advance(TimeSpan.FromSeconds(3));
        Assert.That(replica.Held(key), Is.Null, "never late");
    }

    [Test]
    public async Task SlidingEntry_WithAShortWindow_IsToldOfAtOnce()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        await cluster.Nodes[0].SetAsync(key, [1], new RemainingTime(Expiration.Never, 9_999, 0));
        cluster.Time.Advance(TimeSpan.FromMilliseconds(1));
        await cluster.Nodes[0].GetAsync(key);
        Assert.That(cluster.Delivered.Select(static delivery => delivery.Request).OfType<TouchRequest>().Where(static touch => touch.Renewals.Count > 0), Is.Not.Empty);
    }

    [Test]
    public async Task SlidingEntry_UsedAllTheTime_IsToldOfTenTimesAWindow()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var key = InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]);
        await cluster.Nodes[0].SetAsync(key, [1], new RemainingTime(Expiration.Never, 60_000, 0));
        for (var second = 0; second < 120; second++)
        {
            cluster.Time.Advance(TimeSpan.FromSeconds(1));
            Assert.That(await cluster.Nodes[0].GetAsync(key), Is.Not.Null);
        }

        Assert.That(cluster.Delivered.Sum(delivery => delivery.Request is TouchRequest touch ? touch.Renewals.Count : 0), Is.InRange(19, 21));
    }

    private static (InMemoryCluster Cluster, InMemoryNode Asker, byte[] Key) OfTwoTables(out InMemoryNode holder)
    {
        var cluster = new InMemoryCluster("a", "b", "c");
        using var later = new InMemoryCluster("a", "b", "c", "d");
        var (asker, primary, replica) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        var key = Enumerable.Range(0, 1_000).Select(skip => InMemoryCluster.KeyLedBy(asker, primary, skip))
            .First(key => cluster.OwnersOf(key).Last() == replica && !later.OwnersOf(key).Any(owner => owner.Identity.Name == replica.Identity.Name));
        Assert.That(asker.SetAsync(key, [1]).IsCompletedSuccessfully);
        var newcomer = cluster.Add("d", 5_000);
        cluster.Nodes.Add(newcomer);
        replica.See(cluster.Nodes, static _ => MemberState.Alive);
        cluster.Fault = (_, to, _) => to == primary ? Refused : null;
        holder = replica;
        return (cluster, asker, key);
    }
}
