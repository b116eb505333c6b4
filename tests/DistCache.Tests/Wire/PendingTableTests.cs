using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

internal sealed class PendingTableTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly List<uint> _late = [];
    private ManualTime _time = null!;
    private PendingTable _table = null!;

    [SetUp]
    public void CreateTable()
    {
        _late.Clear();
        _time = new ManualTime();
        _table = new PendingTable(_time, EndLate);
    }

    [TearDown]
    public void DisposeTable() => _table.Dispose();

    [Test]
    public async Task Request_Removed_IsCompletedByWhoRemovedIt()
    {
        var pending = Add();
        var (id, reply) = (pending.Id, pending.Outcome);

        End(_table.Remove(id)!, DoneReply.Instance);

        Assert.That(_table.Remove(id), Is.Null);
        Assert.That(await reply, Is.SameAs(DoneReply.Instance));
    }

    [Test]
    public async Task Requests_UsedAgain_NeverShareAnId()
    {
        var ids = new HashSet<uint>();
        for (var i = 0; i < 1_000; i++)
        {
            var pending = Add();
            var reply = pending.Outcome;
            Assert.That(ids.Add(pending.Id), Is.True);
            End(_table.Remove(pending.Id)!, DoneReply.Instance);
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

    /// <summary>A timer that rings for nobody wakes a thread of the pool, for each lane of an idle node.</summary>
    [Test]
    public async Task Timer_WithNothingWaiting_DoesNotRing()
    {
        var rings = 0;
        _time.Run = callback =>
        {
            rings++;
            callback();
        };
        var first = Add(timeout: Second);
        var (id, reply) = (first.Id, first.Outcome);
        End(_table.Remove(id)!, DoneReply.Instance);
        await reply;

        _time.Advance(10 * Second);
        Assert.That(rings, Is.Zero);

        var late = Add(timeout: Second).Outcome;
        _time.Advance(Second);
        Assert.That(await late, Is.SameAs(PeerFault.TimedOut), "it is set again");
    }

    [Test]
    public async Task Deadline_Reached_EndsTheRequestAndNoOther()
    {
        var shortOne = Add(timeout: Second);
        var longOne = Add(timeout: 2 * Second);
        var (shortId, shortReply, longReply) = (shortOne.Id, shortOne.Outcome, longOne.Outcome);

        _time.Advance(Second - TimeSpan.FromMilliseconds(1));
        Assert.That(shortReply.IsCompleted, Is.False);
        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.That(await shortReply, Is.SameAs(PeerFault.TimedOut));
        Assert.That(_late, Is.EqualTo(new[] { shortId }));
        Assert.That(longReply.IsCompleted, Is.False);
        _time.Advance(Second);
        Assert.That(await longReply, Is.SameAs(PeerFault.TimedOut));
        Assert.That(_table.Count, Is.Zero);
    }

    [Test]
    public async Task Deadline_EarlierThanThoseBefore_IsMet()
    {
        Add(timeout: 60 * Second);
        var reply = Add(timeout: TimeSpan.FromMilliseconds(20)).Outcome;

        _time.Advance(TimeSpan.FromMilliseconds(20));

        Assert.That(await reply, Is.SameAs(PeerFault.TimedOut));
    }

    [Test]
    public async Task Deadline_WithinTheResolutionOfAnother_IsMetALittleLate()
    {
        Add(timeout: TimeSpan.FromMilliseconds(20));
        var reply = Add(timeout: TimeSpan.FromMilliseconds(21)).Outcome;

        _time.Advance(TimeSpan.FromMilliseconds(30));

        Assert.That(await reply, Is.SameAs(PeerFault.TimedOut));
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

        _table.Remove(large.Id);

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
        var reply = Add(Write(new byte[WireLimits.BytesInFlight + 1])).Outcome;
        var waiter = _table.WaitForRoomAsync(TestNode.Read("key"), 60 * Second, default);

        Assert.That(waiter.IsCompleted, Is.False);
        foreach (var call in _table.Close())
        {
            End(call, PeerLane.Closing);
        }

        Assert.That(await reply, Is.SameAs(PeerLane.Closing));
        await waiter.WaitAsync(TestNode.Patience);
        Assert.That(TryAdd(TestNode.Read("key"), out _), Is.EqualTo(AddOutcome.Closed));
    }

    private static WriteRequest Write(byte[] value) => new(default, false, default, default, value, WriteAck.All, 0, false);

    private static void End(PeerCall call, PeerReply reply)
    {
        call.EndWith(reply);
        call.GoOn();
    }

    private void EndLate(List<PeerCall> late)
    {
        _late.AddRange(late.Select(call => call.Id));
        late.ForEach(call => End(call, PeerFault.TimedOut));
    }

    private AddOutcome TryAdd(PeerRequest request, out PendingRequest pending, bool waited = false)
    {
        pending = PendingRequest.Rent(request);
        pending.Deadline = long.MaxValue;
        return _table.TryAdd(pending, waited);
    }

    private PendingRequest Add(PeerRequest? request = null, TimeSpan? timeout = null)
    {
        var pending = PendingRequest.Rent(request ?? TestNode.Read("key"));
        pending.Deadline = timeout is { } given ? _time.GetTimestamp() + given.Ticks : long.MaxValue;
        Assert.That(_table.TryAdd(pending, waited: false), Is.EqualTo(AddOutcome.Added));
        return pending;
    }
}
