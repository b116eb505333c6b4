using DistCache.Peers;

namespace DistCache.Tests.Replication;

/// <summary>When a node may say that it can be stopped without a loss.</summary>
public sealed class StopCheckTests
{
    [Test]
    public async Task SafeToStop_IsSaidOnlyWhileOthersHaveEverything()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (a, b, c) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        var key = InMemoryCluster.KeyLedBy(a, b);
        await a.SetAsync(key, [1]);
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(await b.Replicator.IsSafeToStopAsync(default), Is.True);

        b.See(cluster.Nodes.ToArray(), node => node == c ? MemberState.Suspect : MemberState.Alive);
        Assert.That(await b.Replicator.IsSafeToStopAsync(default), Is.False, "a member is suspect");

        b.See(cluster.Nodes.ToArray(), node => node == c ? MemberState.Leaving : MemberState.Alive);
        Assert.That(await b.Replicator.IsSafeToStopAsync(default), Is.False, "a member is leaving");

        b.See(cluster.Nodes.ToArray(), node => node == c ? MemberState.Dead : MemberState.Alive);
        a.See(cluster.Nodes.ToArray(), node => node == c ? MemberState.Dead : MemberState.Alive);
        Assert.That(await b.Replicator.IsSafeToStopAsync(default), Is.False, "a member that has died is still an owner");

        cluster.Settle();
        cluster.Silent.Add(c);
        var unanswered = b.Replicator.IsSafeToStopAsync(default);
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(await unanswered, Is.False, "a member does not answer");

        cluster.Silent.Clear();
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        c.See([b, c], _ => MemberState.Alive);
        Assert.That(await b.Replicator.IsSafeToStopAsync(default), Is.False, "a member works by another table");
    }

    /// <summary>It has what it needs itself, and owes nobody; but the only other copy of what it holds is not there yet.</summary>
    [Test]
    public async Task SafeToStop_IsNotSaid_WhileAnotherMemberImports()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (stays, restarts) = (cluster.Nodes[0], cluster.Nodes[1]);
        await stays.SetAsync(InMemoryCluster.KeyLedBy(stays, stays), [1]);
        cluster.Fault = (from, _, request) => from == cluster.Nodes[1] && request is TransferRequest ? PeerFault.TimedOut : null;
        cluster.Nodes[1] = cluster.Add("b", restarts.Identity.Incarnation + 1_000);
        cluster.Settle();
        cluster.Time.Advance(TimeSpan.FromSeconds(3));
        Assert.That(stays.Replicator.Ownership.Current.Import.IsComplete, Is.True, "it has all that it owns");
        Assert.That(await stays.Replicator.IsSafeToStopAsync(default), Is.False);

        await AssertSafeOnceMendedAsync(cluster, stays);
    }

    [Test]
    public async Task SafeToStop_IsNotSaid_ByOneThatOwesACopy()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var debtor = cluster.Nodes[0];
        cluster.Fault = static (_, _, request) => request is ReplicateRequest or CompareRequest ? PeerFault.TimedOut : null;
        await debtor.SetAsync(InMemoryCluster.KeyLedBy(debtor, debtor), [1]);
        Assert.That(await debtor.Replicator.IsSafeToStopAsync(default), Is.False);

        await AssertSafeOnceMendedAsync(cluster, debtor);
    }

    /// <summary>It holds nothing now; what it takes in the next moment it would hold alone.</summary>
    [Test]
    public async Task SafeToStop_IsNotSaidByTheOnlyOneOfSeveralThatCountsYet()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (counts, newcomer) = (cluster.Nodes[0], cluster.Nodes[1]);
        counts.See([counts], [newcomer], MemberState.Alive);
        newcomer.See([counts], [newcomer], MemberState.Alive);
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(await counts.Replicator.IsSafeToStopAsync(default), Is.False);

        cluster.Settle();
        await AssertSafeOnceMendedAsync(cluster, counts);
    }

    [Test]
    public async Task SafeToStop_IsNotSaidByTheOnlyOwner()
    {
        using var cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b");
        Assert.That(await cluster.Nodes[0].Replicator.IsSafeToStopAsync(default), Is.True, "it holds nothing");
        await cluster.Nodes[0].SetAsync(InMemoryCluster.KeyLedBy(cluster.Nodes[0], cluster.Nodes[0]), [1]);
        Assert.That(await cluster.Nodes[0].Replicator.IsSafeToStopAsync(default), Is.False);
    }

    /// <summary>What was so when the others were asked need not be so when they have answered.</summary>
    [Test]
    public async Task SafeToStop_IsNotSaid_WhereThatEndedWhileTheOthersWereAsked([Values("a member is suspect", "a copy is owed", "another table")] string change)
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var (a, b, c) = (cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]);
        var newcomer = cluster.Add("d", 5_000);
        var key = FindKeyKeptBy(b);
        await a.SetAsync(key, [1]);
        cluster.Time.Advance(TimeSpan.FromSeconds(2));
        var onTheirWay = new TaskCompletionSource();
        cluster.HoldReply = (asker, reply) => asker == b && reply is HoldingsReply ? onTheirWay.Task : null;
        var asked = b.Replicator.IsSafeToStopAsync(default);
        cluster.HoldReply = static (_, _) => null;
        switch (change)
        {
            case "a member is suspect":
                b.See(cluster.Nodes, node => node == c ? MemberState.Suspect : MemberState.Alive);
                break;
            case "a copy is owed":
                cluster.Fault = static (_, _, request) => request is ReplicateRequest ? PeerFault.TimedOut : null;
                await b.SetAsync(key, [2]);
                break;
            default:
                // All is well here, but the newcomer, now the only other owner, has not got it yet.
                cluster.Fault = (from, _, request) => from == newcomer && request is TransferRequest ? PeerFault.TimedOut : null;
                cluster.Nodes.Add(newcomer);
                cluster.Settle();
                cluster.Time.Advance(TimeSpan.FromMilliseconds(200));
                Assert.That(b.Replicator.Ownership.Current.Import.IsComplete, Is.True);
                break;
        }

        Assert.That(asked.IsCompleted, Is.False);
        onTheirWay.SetResult();
        Assert.That(await asked, Is.False);
        if (change != "a member is suspect")
        {
            await AssertSafeOnceMendedAsync(cluster, b);
        }
    }

    private static async Task AssertSafeOnceMendedAsync(InMemoryCluster cluster, InMemoryNode node)
    {
        cluster.Fault = static (_, _, _) => null;
        cluster.Time.Advance(TimeSpan.FromSeconds(3));
        Assert.That(await node.Replicator.IsSafeToStopAsync(default), Is.True);
    }

    /// <summary>With "d" there are two owners of it: that node, and "d".</summary>
    private static byte[] FindKeyKeptBy(InMemoryNode node)
    {
        using var later = new InMemoryCluster("a", "b", "c", "d");
        return Enumerable.Range(0, 1_000).Select(skip => InMemoryCluster.KeyLedBy(node, node, skip))
            .First(key => later.OwnersOf(key).Select(owner => owner.Identity.Name.ToString()).Order().SequenceEqual(["b", "d"]));
    }
}
