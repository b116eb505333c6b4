using System.Text;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Tests.Replication;

/// <summary>Who is asked to lead a write, how often, and what its caller gets of that.</summary>
public sealed class LeaderSearchTests
{
    /// <summary>As long as a write rests.</summary>
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(50);

    /// <summary>The owners by the writer's table, three whom it lacks, and the next three on the ring.</summary>
    private const int Handful = 8;

    /// <summary>Everybody knows the newcomer; for its owner of old it counts already, and not yet for the writer.</summary>
    [Test]
    public async Task Set_WhoseOwnerDisownsTheKey_IsLedByWhoeverOwnsItByHisOwnTable()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b", "c");
        var (writer, newcomer, key) = LetOneJoin(cluster);
        var write = writer.SetAsync(key, [1]);
        Assert.That(write.IsCompleted, Is.True, "at once");
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(newcomer.Held(key), Is.EqualTo(new byte[] { 1 }));
    }

    /// <summary>The newcomer does not know yet that it counts.</summary>
    [Test]
    public async Task Set_ThatEverybodyDisowns_IsMadeAsSoonAsSomebodyOwnsTheKey()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b", "c");
        var (writer, newcomer, key) = LetOneJoin(cluster);
        newcomer.SeeLeaving(cluster.Nodes.Take(2).ToArray(), newcomer, MemberState.Alive);
        var write = writer.SetAsync(key, [1]);
        cluster.Time.Advance(cluster.Options.Timeout / 2);
        Assert.That(write.IsCompleted, Is.False);

        newcomer.See(cluster.Nodes, static _ => MemberState.Alive);
        cluster.Time.Advance(Step);
        Assert.That(write.IsCompleted, Is.True);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(newcomer.Held(key), Is.EqualTo(new byte[] { 1 }));
    }

    /// <summary>It was silent, came back in another life meanwhile, and is silent again: that costs one timeout and not two.</summary>
    [Test]
    public async Task Set_WhosePrimaryIsSilentInEachOfTwoLives_IsLedByTheNextOwner([Values] bool isLarge)
    {
        using var cluster = new InMemoryCluster("a", "b", "c", "d") { KeepsDelivered = false };
        var (writer, primary) = (cluster.Nodes[0], cluster.Nodes[1]);
        var key = cluster.KeyOfOthers(writer, primary);
        cluster.Silent.Add(primary);
        var write = writer.SetAsync(key, new byte[isLarge ? LaneLimits.InlineBytes + 1 : 1]);
        cluster.Nodes[1] = cluster.Add("b", primary.Identity.Incarnation + 1_000);
        cluster.Silent.Add(cluster.Nodes[1]);
        cluster.Settle(cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2], cluster.Nodes[3]);

        cluster.Time.Advance((cluster.Options.Timeout / 2) + DistCache.Replication.WritePath.ExtraTimeFor(LaneLimits.InlineBytes + 1));

        Assert.That(write.IsCompleted);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    /// <summary>They work by the same table: nobody else will own the key.</summary>
    [Test]
    public async Task Set_WhoseOwnersAreUnsure_AsksThemAgainAndNobodyElse([Values(0, 1)] int replicaCount)
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = replicaCount }, Names(8));
        var writer = cluster.Nodes[0];
        var key = KeyWhere(key => !cluster.OwnersOf(key).Contains(writer));
        var owners = cluster.OwnersOf(key).ToArray();
        cluster.Fault = (from, _, request) => owners.Contains(from) && request is HoldingsRequest ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        foreach (var owner in owners)
        {
            owner.Replicator.Ownership.Doubt(static () => TimeSpan.FromHours(8), static () => { });
        }

        cluster.Delivered.Clear();
        var write = writer.SetAsync(key, [1]);
        cluster.Time.Advance(Step / 2);
        Assert.That(AskedBy(cluster, writer), Has.Count.EqualTo(owners.Length), "once before the rest");
        Pass(cluster, write);

        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Unavailable));
        Assert.That(AskedBy(cluster, writer).Distinct(), Is.EquivalentTo(owners.Select(owner => owner.Identity.Name)));
        Assert.That(AskedBy(cluster, writer), Has.Count.GreaterThan(2 * owners.Length), "they may own it in a moment");
    }

    /// <summary>Each says that it works by another table.</summary>
    [Test]
    public async Task Set_ThatAllOfManyDisown_AsksAHandfulInEachRound()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 1 }, Names(24));
        var writer = LetManyJoin(cluster);
        cluster.Replied = static reply => reply switch
        {
            WriteReply write => write with { Outcome = WriteOutcome.NotMine, TableHash = 1 },
            ReplicateReply copy => copy with { Outcome = ReplicateOutcome.NotMine, TableHash = 1 },
            _ => reply,
        };
        var write = writer.SetAsync(KeyWhere(key => !cluster.OwnersOf(key).Contains(writer)), [1]);
        var rounds = 0;
        do
        {
            Assert.That(AskedBy(cluster, writer), Has.Count.InRange(3, Handful), "those who own it by other tables, but not all");
            cluster.Delivered.Clear();
            cluster.Time.Advance(Step);
            rounds++;
        }
        while (rounds < 18);

        cluster.Time.Advance(cluster.Options.Timeout);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Unavailable));
    }

    /// <summary>Among many that join at once those are asked who will own it: here everybody but the writer counts them.</summary>
    [Test]
    public async Task Set_WhereManyJoinAtOnce_FindsTheOneThatOwnsTheKey()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, Names(24));
        var joining = cluster.Nodes.Skip(12).Select(node => node.Identity.Name).ToArray();
        var keys = Enumerable.Range(0, 400).Select(static i => Encoding.UTF8.GetBytes($"key{i}"))
            .Where(key => joining.Contains(cluster.OwnersOf(key).First().Identity.Name)).ToArray();
        Assert.That(keys, Has.Length.GreaterThan(100));
        var writer = LetManyJoin(cluster);
        foreach (var key in keys.Where(key => WritePathTests.OwnerBy(writer, key) != writer.Identity.Name))
        {
            var write = writer.SetAsync(key, [1]);
            Assert.That(write.IsCompleted, Is.True, "at once");
            Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        }
    }

    /// <summary>They are not in the table either, and own nothing by any other.</summary>
    [Test]
    public async Task Set_WhereOneJoinsAndManyLeave_AsksNoneOfThose()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, Names(12));
        var (writer, owner, newcomer) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        foreach (var node in new[] { owner, newcomer })
        {
            node.See([.. cluster.Nodes.Take(3)], static _ => MemberState.Alive);
        }

        writer.See([writer, owner], [.. cluster.Nodes.Skip(2)], node => node == newcomer ? MemberState.Alive : MemberState.Leaving);
        cluster.Delivered.Clear();
        var keys = Enumerable.Range(0, 400).Select(static i => Encoding.UTF8.GetBytes($"key{i}"))
            .Where(key => WritePathTests.OwnerBy(writer, key) == owner.Identity.Name && WritePathTests.OwnerBy(owner, key) == newcomer.Identity.Name).ToArray();
        Assert.That(keys, Has.Length.GreaterThan(20));
        foreach (var key in keys)
        {
            var write = writer.SetAsync(key, [1]);
            Assert.That(write.IsCompleted, Is.True, "at once");
            Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        }

        Assert.That(AskedBy(cluster, writer).Distinct(), Is.EquivalentTo(new[] { owner.Identity.Name, newcomer.Identity.Name }));
    }

    /// <summary>A value of megabytes is sent to nobody on a guess.</summary>
    [Test]
    public async Task Set_OfALargeValue_WhoseOwnerDisownsTheKey_WaitsForATableThatFits()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b", "c");
        var (writer, newcomer, key) = LetOneJoin(cluster);
        cluster.Delivered.Clear();
        var write = writer.SetAsync(key, new byte[LaneLimits.InlineBytes + 1]);
        cluster.Time.Advance(Step);
        Assert.That(write.IsCompleted, Is.False);
        Assert.That(AskedBy(cluster, writer), Is.All.EqualTo(WritePathTests.OwnerBy(writer, key)));

        writer.See(cluster.Nodes, static _ => MemberState.Alive);
        cluster.Time.Advance(Step);
        Assert.That((await write.WaitAsync(Patience.Time)).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(AskedBy(cluster, writer), Does.Contain(newcomer.Identity.Name));
    }

    /// <summary>Who owns it by the new table is not ready yet; the acknowledgement is there, and nothing is better after a rest.</summary>
    [Test]
    public async Task Set_AcknowledgedByATableThatIsOver_DoesNotWaitForThoseWhoDisownIt()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b", "c");
        var (writer, _, key) = LetOneJoin(cluster);
        var isAcknowledged = false;
        cluster.Replied = reply =>
        {
            if (reply is WriteReply { Outcome: WriteOutcome.Acknowledged } && !isAcknowledged)
            {
                isAcknowledged = true;
                writer.See(cluster.Nodes, static _ => MemberState.Alive);
                return reply;
            }

            return isAcknowledged && reply is WriteReply write ? write with { Outcome = WriteOutcome.NotMine } : reply;
        };
        var request = writer.SetAsync(key, [1]);
        Assert.That(request.IsCompleted, Is.True, "no rest");
        Assert.That((await request).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
    }

    /// <summary>One owner holds a later version each time; the other has neither that nor this one.</summary>
    [Test]
    public async Task Set_ThatOnlyOneOwnerHoldsALaterVersionOf_IsNotAcknowledged([Values] bool otherIsSilent)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (writer, primary, replica, key) = RolesIn(cluster);
        cluster.Fault = (_, to, request) =>
        {
            HoldLater(request, to == primary ? primary : null);
            return request is ReplicateRequest || (request is WriteRequest && to == replica && otherIsSilent) ? PeerFault.TimedOut : null;
        };
        var write = writer.SetAsync(key, new byte[LaneLimits.InlineBytes + 1]);
        Pass(cluster, write);
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Unavailable));
    }

    /// <summary>
    /// The primary holds a later version more often than the write may be stamped again before another is asked; the other owner is silent, or unsure, so
    /// that nobody says that it has either.
    /// </summary>
    [Test]
    public async Task Set_OfASmallValue_ThatOnlyThePrimaryHoldsALaterVersionOf_IsStampedUntilThereAreCopies([Values] bool otherIsSilent)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (writer, primary, replica, key) = RolesIn(cluster);
        var others = 0;
        cluster.Fault = (from, to, request) =>
        {
            HoldLater(request, to == primary && others++ < 6 ? primary : null);
            return to == replica && otherIsSilent ? PeerFault.TimedOut
                : from == replica && request is HoldingsRequest ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        };
        if (!otherIsSilent)
        {
            replica.Replicator.Ownership.Doubt(static () => TimeSpan.FromHours(8), static () => { });
        }

        var write = writer.SetAsync(key, [1]);
        Pass(cluster, write);
        var reply = await write;
        Assert.That((reply.Outcome, reply.Copies), Is.EqualTo((WriteOutcome.Acknowledged, 2)));
        Assert.That(primary.Held(key), Is.EqualTo(new byte[] { 1 }));
    }

    /// <summary>All owners have something later than it.</summary>
    [Test]
    public async Task Set_ThatAllOwnersHoldALaterVersionOf_IsAcknowledged()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (writer, _, _, key) = RolesIn(cluster);
        cluster.Fault = (_, to, request) =>
        {
            HoldLater(request, to);
            return null;
        };
        var write = writer.SetAsync(key, new byte[LaneLimits.InlineBytes + 1]);
        Assert.That(write.IsCompleted, Is.True, "no rest");
        Assert.That((await write).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(AskedBy(cluster, writer), Has.Count.EqualTo(4), "three stamps, and the other owner");
    }

    private static string[] Names(int count) => [.. Enumerable.Range(0, count).Select(static i => $"n{i:00}")];

    private static byte[] KeyWhere(Func<byte[], bool> fits) =>
        Enumerable.Range(0, 1_000).Select(static i => Encoding.UTF8.GetBytes($"key{i}")).First(fits);

    /// <summary>The first node writes a key of the other two.</summary>
    private static (InMemoryNode Writer, InMemoryNode Primary, InMemoryNode Replica, byte[] Key) RolesIn(InMemoryCluster cluster)
    {
        var writer = cluster.Nodes[0];
        var key = KeyWhere(key => !cluster.OwnersOf(key).Contains(writer));
        return (writer, cluster.OwnersOf(key).First(), cluster.OwnersOf(key).Last(), key);
    }

    private static void HoldLater(PeerRequest request, InMemoryNode? at)
    {
        if (request is WriteRequest write)
        {
            at?.Replicator.Owned.Take(
                new EntryRecord(write.Key, new EntryVersion(write.Version.Clock + 1_000, 7), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 9 }), out _);
        }
    }

    /// <summary>To whom the node sent a write that he was to lead, in order.</summary>
    private static List<NodeName> AskedBy(InMemoryCluster cluster, InMemoryNode writer) =>
        [.. cluster.Delivered.Where(delivery => delivery.From == writer.Identity.Name && delivery.Request is WriteRequest).Select(static delivery => delivery.To)];

    private static void Pass(InMemoryCluster cluster, Task write)
    {
        for (var passed = TimeSpan.Zero; passed <= cluster.Options.Timeout && !write.IsCompleted; passed += Step)
        {
            cluster.Time.Advance(Step);
        }
    }

    /// <summary>The second half of the nodes is known to the first, and does not count for it yet. Tells it to the first node only, which writes.</summary>
    private static InMemoryNode LetManyJoin(InMemoryCluster cluster)
    {
        var half = cluster.Nodes.Count / 2;
        cluster.Nodes[0].See([.. cluster.Nodes.Take(half)], [.. cluster.Nodes.Skip(half)], MemberState.Alive);
        return cluster.Nodes[0];
    }

    /// <summary>The last node counts for the second and for itself, and not yet for the first; with a key that it leads then, and the second before.</summary>
    private static (InMemoryNode Writer, InMemoryNode Newcomer, byte[] Key) LetOneJoin(InMemoryCluster cluster)
    {
        var (writer, other, newcomer) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        writer.SeeLeaving([writer, other], newcomer, MemberState.Alive);
        var key = Enumerable.Range(0, 1_000).Select(i => Encoding.UTF8.GetBytes($"key{i}"))
            .First(key => WritePathTests.OwnerBy(writer, key) == other.Identity.Name && WritePathTests.OwnerBy(other, key) == newcomer.Identity.Name);
        return (writer, newcomer, key);
    }
}
