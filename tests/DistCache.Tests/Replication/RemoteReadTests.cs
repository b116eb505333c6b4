using DistCache.Entries;
using DistCache.Peers;
using DistCache.Replication;

namespace DistCache.Tests.Replication;

/// <summary>Reads of keys that "b" leads, through "a", which is their replica.</summary>
[CancelAfter(Patience.Milliseconds)]
public sealed class RemoteReadTests
{
    private static readonly TimeSpan HedgeDelay = TimeSpan.FromMilliseconds(20);

    private readonly List<TaskCompletionSource> _held = [];
    private InMemoryCluster _cluster = null!;

    private InMemoryNode Asker => _cluster.Nodes[0];

    [SetUp]
    public void StartTwoNodes() => Start(WriteAck.All);

    [TearDown]
    public void StopTwoNodes() => _cluster.Dispose();

    [Test]
    public async Task Reply_BeforeTheHedge_IsTheOnlyQuestion(CancellationToken token)
    {
        var key = await SetAsync(0);
        HoldReads();
        var read = Asker.GetAsync(key);
        _cluster.Time.Advance(HedgeDelay - TimeSpan.FromMilliseconds(1));
        _held[0].SetResult();
        Assert.That(await read.WaitAsync(token), Is.EqualTo(new byte[] { 0 }));
        _cluster.Time.Advance(10 * HedgeDelay);
        Assert.That(_held, Has.Count.EqualTo(1));
    }

    /// <summary>Otherwise every large value would be sent by two owners.</summary>
    [Test]
    public async Task Reply_ThatFollowsOnTheBulkLane_IsWaitedForAlone(CancellationToken token)
    {
        var key = await SetAsync(0);
        HoldReads();
        _cluster.RepliesFollow = true;
        var read = Asker.GetAsync(key);
        _cluster.Time.Advance(10 * HedgeDelay);
        Assert.That(read.IsCompleted, Is.False, "this node, the replica, has answered");
        _held[0].SetResult();
        Assert.That(await read.WaitAsync(token), Is.EqualTo(new byte[] { 0 }));
    }

    [Test]
    public async Task Reply_ThatFollowsAndDoesNotCome_IsNotTheLastWord(CancellationToken token)
    {
        var key = await SetAsync(0);
        HoldReads();
        _cluster.RepliesFollow = true;
        var read = Asker.GetAsync(key);
        _cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await read.WaitAsync(token), Is.EqualTo(new byte[] { 0 }));
        _held[0].SetResult();
    }

    /// <summary>The object has time for a large value from its first use; nobody has said that the second one is of one.</summary>
    [Test]
    public async Task Read_WhoseObjectWasUsedForALargeValue_HasNoMoreTimeThanOthers(CancellationToken token)
    {
        var key = await SetAsync(0);
        _cluster.RepliesFollow = true;
        await Asker.GetAsync(key);
        _cluster.RepliesFollow = false;
        var reads = Asker.Replicator.Reads;
        Asker.See(_cluster.Nodes, node => node == Asker ? MemberState.Alive : MemberState.Suspect);
        var read = reads.Begin(key, Slot.Of(key), renew: true, withValue: true, token);
        Assert.That(read.IsFollowing, Is.False);
        Assert.That(ReadPath.ToArray(await read.Answer), Is.EqualTo(new byte[] { 0 }));
    }

    [Test]
    public async Task Reply_LaterThanTheHedge_IsNotWaitedForWhereAReplicaSettlesIt(CancellationToken token)
    {
        var key = await SetAsync(0);
        HoldReads();
        var read = Asker.GetAsync(key);
        Assert.That(read.IsCompleted, Is.False);
        _cluster.Time.Advance(HedgeDelay);
        Assert.That(await read.WaitAsync(token), Is.EqualTo(new byte[] { 0 }));
        _held[0].SetResult();
    }

    [Test]
    public async Task Reply_LaterThanTheHedge_CountsWhereTheReplicaHasNothing(CancellationToken token)
    {
        var key = await SetAsync(0);
        Asker.Memory.Clear();
        await AssertThePrimaryIsWaitedForAsync(key, token);
    }

    [Test]
    public async Task Reply_LaterThanTheHedge_CountsWhereTheReplicaDoesNotSettleIt(CancellationToken token)
    {
        _cluster.Dispose();
        Start(WriteAck.Primary);
        var key = await SetAsync(0);
        await AssertThePrimaryIsWaitedForAsync(key, token);
    }

    /// <summary>The second read uses the object of the first, which the hedge still watches.</summary>
    [Test]
    public async Task Hedge_OfAnEarlierUse_LeavesTheNextReadAlone(CancellationToken token)
    {
        var key = await SetAsync(0);
        await Asker.GetAsync(key);
        _cluster.Time.Advance(HedgeDelay - TimeSpan.FromMilliseconds(5));
        HoldReads();
        var read = Asker.GetAsync(key);
        _cluster.Time.Advance(TimeSpan.FromMilliseconds(5));
        Assert.That(read.IsCompleted, Is.False, "it has waited for 5 ms only");
        _cluster.Time.Advance(HedgeDelay);
        Assert.That(await read.WaitAsync(token), Is.EqualTo(new byte[] { 0 }));
        _held[0].SetResult();
    }

    /// <summary>
    /// 1. Two reads are late at the same time. 2. This node, their replica, answers both at once. 3. The first caller blocks where it goes
    /// on. 4. The second one must go on all the same.
    /// </summary>
    [Test]
    public async Task Hedge_OfACallerThatBlocks_HoldsUpNoOther(CancellationToken token)
    {
        byte[][] keys = [await SetAsync(0), await SetAsync(1)];
        HoldReads();
        var waiting = 2;
        var bothWentOn = new TaskCompletionSource();
        var callers = keys.Select(async key =>
        {
            await Asker.GetAsync(key);
            if (Interlocked.Decrement(ref waiting) == 0)
            {
                bothWentOn.SetResult();
            }

            // Of a thread that waits for a task the pool knows, and gives another one at once.
            Assert.That(bothWentOn.Task.Wait(Patience.Milliseconds, token), "the other caller waits for this one");
        }).ToArray();
        _cluster.Time.Run = callback => ThreadPool.QueueUserWorkItem(_ => callback());
        _cluster.Time.Advance(HedgeDelay);
        while (!Task.WhenAll(callers).IsCompleted)
        {
            token.ThrowIfCancellationRequested();
            _cluster.Time.Advance(TimeSpan.FromMilliseconds(0));
            await Task.Yield();
        }

        await Task.WhenAll(callers);
    }

    /// <summary>What the wire lent for a value goes back, whoever wins.</summary>
    [Test]
    public async Task Reply_ThatComesAfterTheReplicas_IsReleased(CancellationToken token)
    {
        var key = await SetAsync(0);
        using var loan = new Loan();
        _cluster.Replied = reply => reply is ReadReply read ? read with { Rented = null, Loan = loan } : reply;
        HoldReads();
        var read = Asker.GetAsync(key);
        _cluster.Time.Advance(HedgeDelay);
        Assert.That(await read.WaitAsync(token), Is.EqualTo(new byte[] { 0 }));
        Assert.That(loan.IsBack, Is.False);

        _held[0].SetResult();

        Assert.That(loan.IsBack);
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task Caller_ThatGivesUp_BeforeOrAfterTheHedge_HearsOfItAsCancellation(bool isHedged, CancellationToken token)
    {
        _cluster.Dispose();
        Start(WriteAck.Primary);
        var key = await SetAsync(0);
        HoldReads();
        using var caller = new CancellationTokenSource();
        var read = Asker.Replicator.Reads.ReadAsync(key, renew: true, withValue: true, caller.Token).AsTask();
        if (isHedged)
        {
            _cluster.Time.Advance(HedgeDelay);
        }

        await caller.CancelAsync();
        Assert.That(async () => await read.WaitAsync(token), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task Read_OfAKeyLongerThanUsual_AsksForThatKey()
    {
        var key = new byte[4_096];
        for (var i = 0; !_cluster.OwnersOf(key).First().Equals(_cluster.Nodes[1]); i++)
        {
            key[i] = 1;
        }

        await _cluster.Nodes[1].SetAsync(key, [7]);
        Assert.That(await Asker.GetAsync(await SetAsync(0)), Is.EqualTo(new byte[] { 0 }));
        Assert.That(await Asker.GetAsync(key), Is.EqualTo(new byte[] { 7 }));
        Assert.That(await Asker.GetAsync(await SetAsync(1)), Is.EqualTo(new byte[] { 1 }));
    }

    private void Start(WriteAck ack)
    {
        _held.Clear();
        _cluster = new InMemoryCluster(new ReplicationOptions { WriteAck = ack }, "a", "b");
    }

    private void HoldReads() => _cluster.Hold = (_, _, request) =>
    {
        if (request is not ReadRequest)
        {
            return null;
        }

        _held.Add(new TaskCompletionSource());
        return _held[^1].Task;
    };

    private async Task<byte[]> SetAsync(byte value)
    {
        var key = InMemoryCluster.KeyLedBy(Asker, _cluster.Nodes[1], skip: value);
        await Asker.SetAsync(key, [value]);
        return key;
    }

    private async Task AssertThePrimaryIsWaitedForAsync(byte[] key, CancellationToken token)
    {
        HoldReads();
        var read = Asker.GetAsync(key);
        _cluster.Time.Advance(HedgeDelay);
        Assert.That(read.IsCompleted, Is.False);
        _held[0].SetResult();
        Assert.That(await read.WaitAsync(token), Is.EqualTo(new byte[] { 0 }));
    }

    private sealed class Loan : IDisposable
    {
        public bool IsBack { get; private set; }

        public void Dispose() => IsBack = true;
    }
}
