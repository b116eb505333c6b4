using System.Text;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Tests.Replication;

/// <summary>What a node holds and does not own, here of a key that "a stranger" holds, leaves it only for all who own it.</summary>
public sealed class ReleaseTests
{
    private static readonly TimeSpan ThreeRounds = 3 * DistCache.Replication.Release.Interval;

    private static readonly byte[] Key = Encoding.UTF8.GetBytes("key");

    [Test]
    public void AStray_IsKept_UntilEveryOwnerHasIt()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var owners = cluster.OwnersOf(Key).ToArray();
        var stranger = cluster.Nodes.Except(owners).Single();
        cluster.Fault = (from, to, _) => from == stranger && to == owners[1] ? PeerFault.TimedOut : null;
        Hold(stranger);
        cluster.Time.Advance(ThreeRounds);
        Assert.That(owners[0].Held(Key), Is.Not.Null, "one has it");
        Assert.That(stranger.Held(Key), Is.Not.Null);

        cluster.Fault = static (_, _, _) => null;
        cluster.Time.Advance(ThreeRounds);
        Assert.That(owners.Select(owner => owner.Held(Key)), Is.All.Not.Null);
        Assert.That(stranger.Held(Key), Is.Null);
    }

    [Test]
    public void AStray_IsKept_WhereTheTableMakesItOursWhileItIsOffered()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var owners = cluster.OwnersOf(Key).ToArray();
        var stranger = cluster.Nodes.Except(owners).Single();
        var arrival = new TaskCompletionSource();
        cluster.Hold = (from, _, request) => from == stranger && request is ReplicateRequest ? arrival.Task : null;
        Hold(stranger);
        cluster.Time.Advance(DistCache.Replication.Release.Interval);
        stranger.See([owners[0], stranger], static _ => MemberState.Alive);
        arrival.SetResult();
        Assert.That(owners.Select(owner => owner.Held(Key)), Is.All.Not.Null, "both took it");
        Assert.That(stranger.Held(Key), Is.Not.Null);
    }

    /// <summary>What it owns by its own table says nothing about who owns it by the other's.</summary>
    [Test]
    public void AnOffer_ByAnotherTable_IsNotAnswered()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var owner = cluster.Nodes[0];
        Hold(owner);
        var offer = new CompareRequest([new HeldVersion(Key, default)], owner.Replicator.Ownership.Current.Table.Hash + 1);
        Assert.That(((CompareReply)owner.Replicator.Handle(cluster.Nodes[1].Identity, offer)!.Value.Result).IsOwner, Is.False);
    }

    private static void Hold(InMemoryNode node) => node.Replicator.Owned.Take(
        new EntryRecord(Key, new EntryVersion(node.Clock.Next(), 1), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 1 }), out _);
}
