using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Tests.Replication;

/// <summary>
/// A node that stood still for hours, as long as nobody has answered whether he went on without it: what it holds is as if it were not there,
/// and all is as before when they have.
/// </summary>
public sealed class UnsureTests
{
    private InMemoryCluster _cluster = null!;

    private InMemoryNode Unsure => _cluster.Nodes[0];

    [SetUp]
    public void SetUp() => _cluster = new InMemoryCluster("a", "b", "c");

    [TearDown]
    public void TearDown() => _cluster.Dispose();

    [Test]
    public async Task UnsureNode_ShowsNothing()
    {
        var key = InMemoryCluster.KeyLedBy(Unsure, Unsure);
        Take(Unsure, key);
        BecomeUnsure();
        Assert.That(Unsure.Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.False);
        Assert.That(await Unsure.GetAsync(key), Is.Null, "read there");
        Assert.That(await _cluster.Nodes[1].GetAsync(key), Is.Null, "read elsewhere");
        var request = new ReadRequest(key, Unsure.Replicator.Ownership.Current.Table.Hash, Renew: false, WithValue: true, AsHolder: true);
        Assert.That(((ReadReply)await Unsure.Replicator.Handle(_cluster.Nodes[1].Identity, request)!.Value).Outcome, Is.EqualTo(ReadOutcome.NotMine), "read as from a holder");
    }

    [Test]
    public async Task UnsureNode_ReadsWhatOthersHold()
    {
        var key = InMemoryCluster.KeyLedBy(Unsure, Unsure);
        await _cluster.Nodes[1].SetAsync(key, [2]);
        BecomeUnsure();
        Assert.That(await Unsure.GetAsync(key), Is.EqualTo(new byte[] { 2 }));
    }

    /// <summary>As a source of an import, as one who owes, as one who compares, as one who holds what only others own.</summary>
    [Test]
    public async Task UnsureNode_GivesNothingAway()
    {
        for (var i = 0; i < 100; i++)
        {
            Take(Unsure, [(byte)i]);
        }

        _cluster.Fault = static (_, _, request) => request is ReplicateRequest ? PeerFault.TimedOut : null;
        await Unsure.SetAsync(InMemoryCluster.KeyLedBy(Unsure, Unsure), [1]);
        BecomeUnsure();
        _cluster.Delivered.Clear();
        var transfer = await Unsure.Replicator.Handle(_cluster.Nodes[1].Identity, new TransferRequest(SlotSet.All(), 0, 1_000))!.Value;
        Assert.That(transfer, Is.TypeOf<PeerFault>());
        _cluster.Time.Advance(TimeSpan.FromSeconds(3));
        await Unsure.Replicator.CompareAsync();
        Assert.That(CopiesSentByUnsure, Is.Empty);
    }

    [Test]
    public async Task UnsureNode_LeadsNoWrite()
    {
        var key = InMemoryCluster.KeyLedBy(Unsure, Unsure);
        BecomeUnsure();
        _cluster.Delivered.Clear();
        Assert.That((await Unsure.SetAsync(key, [1])).Outcome, Is.EqualTo(WriteOutcome.Acknowledged), "others lead it");
        Assert.That(CopiesSentByUnsure, Is.Empty);

        Assert.That((await _cluster.Nodes[1].SetAsync(key, [2])).Outcome, Is.EqualTo(WriteOutcome.Acknowledged), "others lead it");
        Assert.That(CopiesSentByUnsure, Is.Empty);
    }

    /// <summary>Its timers have not run yet.</summary>
    [Test]
    public async Task NodeThatWakes_LearnsOfItFromTheFirstRequest()
    {
        _cluster.Fault = static (_, _, request) => request is HoldingsRequest ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        _cluster.Time.Jump(TimeSpan.FromHours(8));
        Assert.That(await Unsure.Replicator.Handle(_cluster.Nodes[1].Identity, new TransferRequest(SlotSet.All(), 0, 1_000))!.Value, Is.TypeOf<PeerFault>());
    }

    /// <summary>Two that stood still come back to one that went on without them, and cannot ask it; it hears from both that they stood still.</summary>
    [Test]
    public void NodeThatWentOn_DoesNotYieldToMoreThatStoodStill()
    {
        var (wentOn, sleepers) = (_cluster.Nodes[2], _cluster.Nodes.Take(2).ToArray());
        var key = InMemoryCluster.KeyLedBy(wentOn, wentOn);
        Take(wentOn, key);
        wentOn.See(_cluster.Nodes, node => node == wentOn ? MemberState.Alive : MemberState.Dead);
        _cluster.Fault = (from, to, request) => from != wentOn && request is HoldingsRequest ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        for (var minute = 0; minute < 55; minute++)
        {
            _cluster.Time.Advance(TimeSpan.FromMinutes(1));
        }

        Array.ForEach(sleepers, static node => node.Replicator.Ownership.Doubt(static () => TimeSpan.FromHours(1), static () => { }));
        wentOn.See(_cluster.Nodes, static _ => MemberState.Alive);
        Assert.That(wentOn.Replicator.Ownership.Current.Table.Nodes.Length, Is.EqualTo(1), "they are strangers");
        _cluster.Time.Advance(TimeSpan.FromSeconds(15));
        Assert.That(wentOn.Held(key), Is.Not.Null);
    }

    /// <summary>Neither counts one that says it stood still; but the other has heard from all that are here since, and so only one yields.</summary>
    [Test]
    public void UnsureNode_ThatOneWentOnWithout_WhoStoodStillAgainSince_BeginsAnew()
    {
        var (wentOn, sleeper, gone) = (_cluster.Nodes[2], _cluster.Nodes[0], _cluster.Nodes[1]);
        var key = InMemoryCluster.KeyLedBy(sleeper, sleeper);
        var keyOfOther = InMemoryCluster.KeyLedBy(wentOn, wentOn);
        Take(sleeper, key);
        Take(wentOn, keyOfOther);
        wentOn.See(_cluster.Nodes, node => node == wentOn ? MemberState.Alive : MemberState.Dead);
        _cluster.Fault = (from, to, _) => from == gone || to == gone || from == sleeper ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        for (var minute = 0; minute < 55; minute++)
        {
            _cluster.Time.Advance(TimeSpan.FromMinutes(1));
        }

        var isGone = (InMemoryNode node) => node == gone ? MemberState.Dead : MemberState.Alive;
        wentOn.See(_cluster.Nodes, node => node == sleeper ? MemberState.Dead : MemberState.Alive);
        wentOn.Replicator.Ownership.Doubt(static () => TimeSpan.FromHours(1), static () => { });
        wentOn.See(_cluster.Nodes, node => node == wentOn ? MemberState.Alive : MemberState.Dead);
        sleeper.Replicator.Ownership.Doubt(static () => TimeSpan.FromHours(1), static () => { });
        wentOn.See(_cluster.Nodes, isGone);
        sleeper.See(_cluster.Nodes, isGone);
        _cluster.Fault = (from, to, _) => from == gone || to == gone ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        _cluster.Time.Advance(TimeSpan.FromSeconds(15));
        Assert.That((sleeper.Held(key), wentOn.Held(keyOfOther)), Is.EqualTo(((byte[]?)null, new byte[] { 1 })));
    }

    [Test]
    public async Task UnsureNode_ThatAllHaveAnswered_IsAsBefore()
    {
        var key = InMemoryCluster.KeyLedBy(Unsure, Unsure);
        await _cluster.Nodes[1].SetAsync(key, [2]);
        BecomeUnsure();
        _cluster.Time.Advance(TimeSpan.FromSeconds(10));
        Assert.That(Unsure.Replicator.Ownership.Current.IsUnsure, Is.True, "nobody answers");
        Assert.That(await Unsure.Replicator.IsSafeToStopAsync(default), Is.False);
        Assert.That(Unsure.Replicator.IsHandedOver, Is.False);

        _cluster.Fault = static (_, _, _) => null;
        _cluster.Time.Advance(TimeSpan.FromSeconds(3));
        Assert.That(Unsure.Replicator.Reads.AnswersAlone(Slot.Of(key)), Is.True);
        Assert.That(Unsure.Held(key), Is.EqualTo(new byte[] { 2 }));
    }

    private void BecomeUnsure()
    {
        _cluster.Fault = (from, _, request) => from == Unsure && request is HoldingsRequest ? new PeerFault(FaultKind.Failed, "Not now.") : null;
        Unsure.Replicator.Ownership.Doubt(static () => TimeSpan.FromHours(8), static () => { });
    }

    private IEnumerable<PeerRequest> CopiesSentByUnsure => _cluster.Delivered
        .Where(delivery => delivery.From == Unsure.Identity.Name && delivery.Request is CompareRequest or ReplicateRequest)
        .Select(delivery => delivery.Request);

    private static void Take(InMemoryNode node, byte[] key) => node.Replicator.Owned.Take(
        new EntryRecord(key, new EntryVersion(node.Clock.Next(), 1), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 1 }), out _);
}
