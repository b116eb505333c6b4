using DistCache.Peers;

namespace DistCache.Tests.Replication;

/// <summary>
/// The table changes while a write is under way: it counts only when those have it who own the key by the new one, since they may have read the
/// old owners to their end before it came. Here nothing is transferred, so that only the write itself can have brought it there.
/// </summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[CancelAfter(Patience.Milliseconds)]
public sealed class ChangingTableTests : IDisposable
{
    /// <summary>"a" writes a key of "b" and "c"; by the next table "d" leads it.</summary>
    private readonly InMemoryCluster _cluster = new("a", "b", "c");
    private readonly TaskCompletionSource _onTheirWay = new();
    private InMemoryNode _writer = null!;
    private InMemoryNode _oldPrimary = null!;
    private InMemoryNode _oldReplica = null!;
    private InMemoryNode _newPrimary = null!;
    private byte[] _key = null!;

    [SetUp]
    public void FindTheKey()
    {
        (_writer, _oldPrimary, _oldReplica, _newPrimary) = (_cluster.Nodes[0], _cluster.Nodes[1], _cluster.Nodes[2], _cluster.Add("d", 5_000));
        using var later = new InMemoryCluster("a", "b", "c", "d");
        _key = Enumerable.Range(0, 1_000).Select(skip => InMemoryCluster.KeyLedBy(_writer, _oldPrimary, skip))
            .First(key => !_cluster.OwnersOf(key).Contains(_writer) && later.OwnersOf(key).First().Identity.Name == _newPrimary.Identity.Name);
        _cluster.Nodes.Add(_newPrimary);
    }

    public void Dispose() => _cluster.Dispose();

    /// <summary>Its owners do not know yet, and take their copies by the old table.</summary>
    [Test]
    public async Task Set_SentToAllOwners_WhoseWritersTableChanges_GoesToTheNewOwners(CancellationToken token)
    {
        var write = Begin(directly: true);
        Change(_writer);
        await EndAsync(write, token);
    }

    /// <summary>The leader does not know yet, and acknowledges by the old table.</summary>
    [Test]
    public async Task Set_LedByAnotherNode_WhoseWritersTableChanges_GoesToTheNewOwners(CancellationToken token)
    {
        var write = Begin(directly: false);
        Change(_writer);
        await EndAsync(write, token);
    }

    /// <summary>The writer does not know yet, and hears of it from the leader only.</summary>
    [Test]
    public async Task Set_LedByAnotherNode_WhoseTableChanges_GoesToTheNewOwners(CancellationToken token)
    {
        _writer.Replicator.Calls.Exchange = (_, _) =>
        {
            See(_writer);
            return ValueTask.CompletedTask;
        };
        var write = Begin(directly: false);
        Change(_oldPrimary);
        await EndAsync(write, token);
    }

    /// <summary>The copies stay on their way. A writer that does not reach an owner asks the primary to lead.</summary>
    private Task<WriteReply> Begin(bool directly)
    {
        _cluster.Fault = (from, to, request) => request is TransferRequest || (!directly && from == _writer && to == _oldReplica) ? PeerFault.TimedOut : null;
        _cluster.Hold = (from, _, request) => request is ReplicateRequest && (directly || from == _oldPrimary) ? _onTheirWay.Task : null;
        var write = _writer.SetAsync(_key, [1]);
        Assert.That(write.IsCompleted, Is.False);
        return write;
    }

    /// <summary>For this node, and for the newcomer.</summary>
    private void Change(InMemoryNode node)
    {
        See(_newPrimary);
        See(node);
    }

    private void See(InMemoryNode node) => node.See(_cluster.Nodes, static _ => MemberState.Alive);

    private async Task EndAsync(Task<WriteReply> write, CancellationToken token)
    {
        _cluster.Hold = static (_, _, _) => null;
        _onTheirWay.SetResult();
        Assert.That((await write.WaitAsync(token)).Outcome, Is.EqualTo(WriteOutcome.Acknowledged));
        Assert.That(_newPrimary.Held(_key), Is.EqualTo(new byte[] { 1 }));
    }
}
