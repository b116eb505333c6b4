using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

internal sealed class PendingTableTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly List<uint> _abandoned = [];
    private ManualTime _time = null!;
    private PendingTable _table = null!;

    [SetUp]
    public void CreateTable()
    {
        _abandoned.Clear();
        _time = new ManualTime();
        _table = new PendingTable(_time, _abandoned.Add);
    }

    [TearDown]
    public void DisposeTable() => _table.Dispose();

    [Test]
    public async Task Request_Removed_IsCompletedByWhoRemovedIt()
    {
        var pending = Add();
        var reply = pending.Reply;

        _table.Remove(pending.Id)!.Complete(DoneReply.Instance);

        Assert.That(_table.Remove(pending.Id), Is.Null);
        Assert.That(await reply, Is.SameAs(DoneReply.Instance));
    }

    [Test]
    public async Task Requests_UsedAgain_NeverShareAnId()
    {
        var ids = new HashSet<uint>();
        for (var i = 0; i < 1_000; i++)
        {
            var pending = Add();
            var reply = pending.Reply;
            Assert.That(ids.Add(pending.Id), Is.True);
            _table.Remove(pending.Id)!.Complete(DoneReply.Instance);
            await reply;
        }
    }

    [Test]
    public void Requests_InAnyOrder_AreFoundByTheirIds([Values(1, 2, 3)] int seed)
    {
        var random = new Random(seed);
        var waiting = new Dictionary<uint, PendingRequest>();
        for (var i = 0; i < 20_000; i++)
        {
            if (waiting.Count > 0 && random.Next(100) < (i < 10_000 ? 30 : 70))
            {
                var id = waiting.Keys.ElementAt(random.Next(Math.Min(waiting.Count, 50)));
                Assert.That(_table.Remove(id), Is.SameAs(waiting[id]), $"seed {seed}");
                waiting.Remove(id);
            }
            else
            {
                var pending = Add();
                waiting.Add(pending.Id, pending);
            }
        }

        Assert.That(_table.Count, Is.EqualTo(waiting.Count));
    }

    [Test]
    public async Task Deadline_Reached_EndsTheRequestAndNoOther()
    {
        var shortOne = Add(timeout: Second);
        var longOne = Add(timeout: 2 * Second);
        var (shortId, shortReply, longReply) = (shortOne.Id, shortOne.Reply, longOne.Reply);

        _time.Advance(Second - TimeSpan.FromMilliseconds(1));
        Assert.That(shortReply.IsCompleted, Is.False);
        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.That(await shortReply, Is.SameAs(PeerFault.TimedOut));
        Assert.That(_abandoned, Is.EqualTo(new[] { shortId }));
        Assert.That(longReply.IsCompleted, Is.False);
        _time.Advance(Second);
        Assert.That(await longReply, Is.SameAs(PeerFault.TimedOut));
        Assert.That(_table.Count, Is.Zero);
    }

    [Test]
    public async Task Deadline_EarlierThanThoseBefore_IsMet()
    {
        Add(timeout: 60 * Second);
        var reply = Add(timeout: TimeSpan.FromMilliseconds(20)).Reply;

        _time.Advance(TimeSpan.FromMilliseconds(20));

        Assert.That(await reply, Is.SameAs(PeerFault.TimedOut));
    }

    [Test]
    public async Task Deadline_WithinTheResolutionOfAnother_IsMetALittleLate()
    {
        Add(timeout: TimeSpan.FromMilliseconds(20));
        var reply = Add(timeout: TimeSpan.FromMilliseconds(21)).Reply;

        _time.Advance(TimeSpan.FromMilliseconds(30));

        Assert.That(await reply, Is.SameAs(PeerFault.TimedOut));
    }

    [Test]
    public void Token_Cancelled_FreesThePlace()
    {
        using var caller = new CancellationTokenSource();
        var pending = Add(cancellationToken: caller.Token);
        var id = pending.Id;
        pending.WatchToken();

        caller.Cancel();

        Assert.That(async () => await pending.Reply, Throws.InstanceOf<OperationCanceledException>());
        Assert.That(_table.Remove(id), Is.Null);
        Assert.That(_abandoned, Is.EqualTo(new[] { id }));
    }

    [Test]
    public void Token_CancelledAfterTheReply_TouchesNoLaterRequest()
    {
        using var caller = new CancellationTokenSource();
        var first = Add(cancellationToken: caller.Token);
        first.WatchToken();
        var reply = first.Reply;
        _table.Remove(first.Id)!.Complete(DoneReply.Instance);
        Assert.That(reply.GetAwaiter().GetResult(), Is.SameAs(DoneReply.Instance));
        var second = Add();

        caller.Cancel();

        Assert.That(second, Is.SameAs(first), "it was not used again");
        Assert.That(second.Reply.IsCompleted, Is.False);
    }

    [Test]
    public async Task Requests_AtTheLimit_MakeOthersWaitInTurn()
    {
        var waiting = Enumerable.Range(0, WireLimits.RequestsInFlight).Select(_ => Add()).ToArray();
        Assert.That(TryAdd(TestNode.Read("one more"), out _), Is.EqualTo(AddOutcome.Full));
        var first = _table.WaitForRoomAsync(TestNode.Read("first"), Second, default);
        var second = _table.WaitForRoomAsync(TestNode.Read("second"), Second, default);

        _table.Remove(waiting[0].Id);
        await first.WaitAsync(TestNode.Patience);

        Assert.That(second.IsCompleted, Is.False);
        Assert.That(TryAdd(TestNode.Read("pushes in"), out _), Is.EqualTo(AddOutcome.Full));
        Assert.That(TryAdd(TestNode.Read("first"), out _, waited: true), Is.EqualTo(AddOutcome.Added));
        _time.Advance(Second);
        Assert.That(async () => await second, Throws.TypeOf<TimeoutException>());
    }

    [Test]
    public void Bytes_AtTheLimit_MakeOthersWait()
    {
        var half = new byte[(WireLimits.BytesInFlight / 2) - 10];
        Assert.That(TryAdd(Write(half), out _), Is.EqualTo(AddOutcome.Added));
        Assert.That(TryAdd(Write(half), out _), Is.EqualTo(AddOutcome.Added));

        Assert.That(TryAdd(Write(half), out _), Is.EqualTo(AddOutcome.Full));
    }

    [Test]
    public void Request_LargerThanTheLimit_GoesAlone()
    {
        Assert.That(TryAdd(Write(new byte[WireLimits.BytesInFlight + 1]), out var large), Is.EqualTo(AddOutcome.Added));
        Assert.That(TryAdd(TestNode.Read("key"), out _), Is.EqualTo(AddOutcome.Full));

        _table.Remove(large!.Id);

        Assert.That(TryAdd(TestNode.Read("key"), out _), Is.EqualTo(AddOutcome.Added));
    }

    [Test]
    public async Task Waiter_ThatGivesUpWhenLetIn_LetsTheNextOneIn()
    {
        var large = Add(Write(new byte[WireLimits.BytesInFlight + 1]));
        using var caller = new CancellationTokenSource();
        var first = _table.WaitForRoomAsync(TestNode.Read("first"), 60 * Second, caller.Token);
        var second = _table.WaitForRoomAsync(TestNode.Read("second"), 60 * Second, default);
        await caller.CancelAsync();
        Assert.That(async () => await first, Throws.InstanceOf<OperationCanceledException>());

        _table.Remove(large.Id);

        await second.WaitAsync(TestNode.Patience);
    }

    [Test]
    public async Task Close_WithRequestsAndWaiters_EndsAllOfThem()
    {
        var reply = Add(Write(new byte[WireLimits.BytesInFlight + 1])).Reply;
        var waiter = _table.WaitForRoomAsync(TestNode.Read("key"), 60 * Second, default);

        Assert.That(waiter.IsCompleted, Is.False);
        _table.Close(PeerLane.Closing);

        Assert.That(await reply, Is.SameAs(PeerLane.Closing));
        await waiter.WaitAsync(TestNode.Patience);
        Assert.That(TryAdd(TestNode.Read("key"), out _), Is.EqualTo(AddOutcome.Closed));
    }

    private static WriteRequest Write(byte[] value) => new(default, false, default, default, value, WriteAck.All, 0, false);

    private AddOutcome TryAdd(PeerRequest request, out PendingRequest? pending, bool waited = false) =>
        _table.TryAdd(request, long.MaxValue, waited, default, out pending);

    private PendingRequest Add(PeerRequest? request = null, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        var deadline = timeout is { } given ? _time.GetTimestamp() + given.Ticks : long.MaxValue;
        Assert.That(_table.TryAdd(request ?? TestNode.Read("key"), deadline, false, cancellationToken, out var pending), Is.EqualTo(AddOutcome.Added));
        return pending!;
    }
}
