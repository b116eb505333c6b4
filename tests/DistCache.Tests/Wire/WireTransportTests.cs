using System.Net;
using System.Net.Sockets;
using System.Text;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Tests.Membership;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

internal sealed class WireTransportTests
{
    private TestNode _here = null!;
    private TestNode _there = null!;

    [SetUp]
    public async Task StartTwoNodes()
    {
        _here = TestNode.Create("here");
        _there = await TestNode.StartAsync("there");
    }

    [TearDown]
    public async Task StopTwoNodes()
    {
        await _here.DisposeAsync();
        await _there.DisposeAsync();
    }

    [Test]
    public async Task Request_OnEachLane_IsAnsweredByTheHandler()
    {
        NodeIdentity from = default;
        _there.OnRequest = (dialler, request, _) =>
        {
            from = dialler;
            return ValueTask.FromResult<PeerReply>(request.Lane switch
            {
                Lane.Control => new HoldingsReply(7, new SlotSet(), [], IsWhole: true),
                Lane.Data => TestNode.Echo(request),
                _ => new TransferReply([], 5, IsEnd: true, Lookups: 0),
            });
        };

        var control = await _here.SendAsync(_there, new HoldingsRequest(7));
        var data = await _here.SendAsync(_there, TestNode.Read("key"));
        var bulk = await _here.SendAsync(_there, new TransferRequest(new SlotSet(), 0, 100));

        Assert.That(control, Is.TypeOf<HoldingsReply>());
        Assert.That(Text(data), Is.EqualTo("key"));
        Assert.That(bulk, Is.TypeOf<TransferReply>().With.Property("Cursor").EqualTo(5));
        Assert.That(from, Is.EqualTo(_here.Identity));
    }

    [Test]
    public async Task Requests_Pipelined_GetEachItsOwnReply()
    {
        var replies = await Task.WhenAll(Enumerable.Range(0, 5_000).Select(i => _here.SendAsync(_there, TestNode.Read($"key {i}")).AsTask()));

        Assert.That(replies.Select(Text), Is.EqualTo(Enumerable.Range(0, 5_000).Select(i => $"key {i}")));
    }

    [Test]
    public async Task Replies_OutOfOrder_ReachTheirCallers()
    {
        var first = new TaskCompletionSource<PeerReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        _there.OnRequest = (_, request, _) =>
            Text(((ReadRequest)request).Key) == "first" ? new ValueTask<PeerReply>(first.Task) : ValueTask.FromResult(TestNode.Echo(request));

        var slow = _here.SendAsync(_there, TestNode.Read("first"));
        var quick = await _here.SendAsync(_there, TestNode.Read("second"));
        var slowWasPending = !slow.IsCompleted;
        first.SetResult(TestNode.Hit(SampleMessages.Bytes("late")));

        Assert.That(slowWasPending, Is.True);
        Assert.That(Text(quick), Is.EqualTo("second"));
        Assert.That(Text(await slow), Is.EqualTo("late"));
    }

    [Test]
    public async Task Request_OfAnAsynchronousHandler_KeepsItsBytesUntilTheHandlerIsDone()
    {
        _there.OnRequest = async (_, request, _) =>
        {
            await Task.Yield();
            return TestNode.Hit(((ReadRequest)request).Key);
        };

        var replies = await Task.WhenAll(Enumerable.Range(0, 5_000).Select(i => _here.SendAsync(_there, TestNode.Read($"key {i}")).AsTask()));

        Assert.That(replies.Select(Text), Is.EqualTo(Enumerable.Range(0, 5_000).Select(i => $"key {i}")));
    }

    [Test]
    public async Task Request_NotAnsweredInTime_IsTimedOutAndTheLaneGoesOn()
    {
        var never = new TaskCompletionSource<PeerReply>();
        _there.OnRequest = (_, request, _) =>
            Text(((ReadRequest)request).Key) == "never" ? new ValueTask<PeerReply>(never.Task) : ValueTask.FromResult(TestNode.Echo(request));
        await _here.SendAsync(_there, TestNode.Read("dials"));

        var clock = TimeProvider.System.GetTimestamp();
        var reply = await _here.SendAsync(_there, TestNode.Read("never"), TimeSpan.FromMilliseconds(100));
        var elapsed = TimeProvider.System.GetElapsedTime(clock);

        Assert.That(reply, Is.SameAs(PeerFault.TimedOut));
        Assert.That(elapsed, Is.GreaterThanOrEqualTo(TimeSpan.FromMilliseconds(99)));
        Assert.That(Text(await _here.SendAsync(_there, TestNode.Read("next"))), Is.EqualTo("next"));
        never.SetResult(DoneReply.Instance);
        Assert.That(Text(await _here.SendAsync(_there, TestNode.Read("after"))), Is.EqualTo("after"));
    }

    [TestCase("bücher.example", "xn--bcher-kva.example:7600")]
    [TestCase("Example.org", "example.org:7600")]
    [TestCase("10.0.0.5", "10.0.0.5:7600")]
    [TestCase("::1", "[::1]:7600")]
    public void Authority_IsTheNameAsDnsSpellsIt(string host, string expected) =>
        Assert.That(LaneDial.AuthorityOf(new PeerAddress(host, 7600)), Is.EqualTo(expected));

    /// <summary>As a cut link leaves it: nothing says that the connection is over, and TCP waits for minutes before it tries again.</summary>
    [Test]
    public async Task Lane_SilentBetweenTwoRequestsThatRanOutOfTime_IsGivenUp([Values] bool isHeardBetween)
    {
        var time = new ManualTime();
        await using var here = TestNode.Create("patient", time: time);
        var never = new TaskCompletionSource<PeerReply>();
        using var arrived = new SemaphoreSlim(0);
        _there.OnRequest = (_, request, _) =>
        {
            arrived.Release();
            return Text(((ReadRequest)request).Key) == "never" ? new ValueTask<PeerReply>(never.Task) : ValueTask.FromResult(TestNode.Echo(request));
        };
        var broken = 0;
        here.Transport.Broken += _ => broken++;

        await RunOutOfTimeAsync(here, TestNode.Read("never"), TimeSpan.FromSeconds(1), arrived, time);
        time.Advance(WireLimits.LongestSilence);
        if (isHeardBetween)
        {
            await here.SendAsync(_there, TestNode.Read("heard"));
        }

        Assert.That(broken, Is.Zero);
        await RunOutOfTimeAsync(here, TestNode.Read("never"), TimeSpan.FromSeconds(1), arrived, time);
        time.Advance(WireLimits.LastLook);

        Assert.That(broken, Is.EqualTo(isHeardBetween ? 0 : 1));
        Assert.That(Text(await here.SendAsync(_there, TestNode.Read("next"))), Is.EqualTo("next"));
    }

    [TestCase(true, 1_000, 1)]
    [TestCase(true, 500, 0)]
    [TestCase(false, 1_000, 0)]
    public async Task ControlLane_ThatIsSilent_IsGivenUpSooner(bool isControl, int silentMilliseconds, int expected)
    {
        var time = new ManualTime();
        await using var here = TestNode.Create("patient", time: time);
        using var arrived = new SemaphoreSlim(0);
        _there.OnRequest = (_, _, _) =>
        {
            arrived.Release();
            return new ValueTask<PeerReply>(new TaskCompletionSource<PeerReply>().Task);
        };
        var broken = 0;
        here.Transport.Broken += _ => broken++;

        PeerRequest request = isControl ? new ProbeRequest(_there.Identity, []) : TestNode.Read("never");
        await RunOutOfTimeAsync(here, request, TimeSpan.FromSeconds(1), arrived, time);
        await RunOutOfTimeAsync(here, request, TimeSpan.FromMilliseconds(silentMilliseconds), arrived, time);
        time.Advance(WireLimits.LastLook);

        Assert.That(broken, Is.EqualTo(expected));
    }

    /// <summary>The same on the bulk lane, where a peer that takes a large value has nothing to say to it before its end.</summary>
    [Test]
    public async Task BulkLane_ThatTakesALargeValueBetween_IsKept([Values] bool takesValue)
    {
        var time = new ManualTime();
        await using var here = TestNode.Create("patient", time: time);
        var never = new TaskCompletionSource<PeerReply>();
        using var arrived = new SemaphoreSlim(0);
        _there.OnRequest = (_, _, _) =>
        {
            arrived.Release();
            return new ValueTask<PeerReply>(never.Task);
        };
        var broken = 0;
        here.Transport.Broken += _ => broken++;
        var value = takesValue ? new byte[WireLimits.ServerWindowBytes + LaneLimits.InlineBytes] : [];

        await RunOutOfTimeAsync();
        time.Advance(WireLimits.LongestSilence);
        var write = here.SendAsync(
            _there, new WriteRequest("key"u8.ToArray(), false, default, RemainingTime.Unlimited, value, WriteAck.All, 0, false), TimeSpan.FromHours(1));
        await arrived.WaitAsync(TestNode.Patience);
        await RunOutOfTimeAsync();
        time.Advance(WireLimits.LastLook);

        Assert.That(broken, Is.EqualTo(takesValue ? 0 : 1));
        never.SetResult(DoneReply.Instance);
        await here.DisposeAsync();
        await write;

        async Task RunOutOfTimeAsync()
        {
            var pending = here.SendAsync(_there, new TransferRequest(new SlotSet(), 0, 100), TimeSpan.FromSeconds(1)).AsTask();
            await arrived.WaitAsync(TestNode.Patience);
            time.Advance(TimeSpan.FromMinutes(1));
            Assert.That(await pending.WaitAsync(TestNode.Patience), Is.SameAs(PeerFault.LargeTimedOut));
        }
    }

    [Test]
    public async Task Request_WhoseCallerGivesUp_ThrowsAndTheLaneGoesOn()
    {
        var never = new TaskCompletionSource<PeerReply>();
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _there.OnRequest = (_, request, _) =>
        {
            arrived.TrySetResult();
            return new ValueTask<PeerReply>(never.Task);
        };
        using var caller = new CancellationTokenSource();

        var pending = _here.SendAsync(_there, TestNode.Read("key"), cancellationToken: caller.Token).AsTask();
        await arrived.Task.WaitAsync(TestNode.Patience);
        await caller.CancelAsync();

        Assert.That(async () => await pending, Throws.InstanceOf<OperationCanceledException>());
        Assert.That(async () => await _here.SendAsync(_there, TestNode.Read("key"), cancellationToken: caller.Token), Throws.InstanceOf<OperationCanceledException>());
        _there.OnRequest = (_, request, _) => ValueTask.FromResult(TestNode.Echo(request));
        Assert.That(Text(await _here.SendAsync(_there, TestNode.Read("next"))), Is.EqualTo("next"));
    }

    /// <summary>The first caller blocks the thread that its reply came on, and then asks again: nothing may wait for that thread.</summary>
    [Test]
    public async Task Caller_ThatBlocksWhereItGoesOn_HoldsUpNobody()
    {
        using var gate = new ManualResetEventSlim();
        await _here.SendAsync(_there, TestNode.Read("dialled"));
        var blocking = BlockAsync();
        for (var i = 0; i < 100; i++)
        {
            Assert.That(Text(await _here.SendAsync(_there, TestNode.Read($"{i}")).AsTask().WaitAsync(TestNode.Patience)), Is.EqualTo($"{i}"));
        }

        gate.Set();
        Assert.That(await blocking.WaitAsync(TestNode.Patience), Is.EqualTo("again"));

        async Task<string> BlockAsync()
        {
            await _here.SendAsync(_there, TestNode.Read("first")).ConfigureAwait(false);
            Assert.That(gate.Wait(TestNode.Patience));
            return Text(_here.SendAsync(_there, TestNode.Read("again")).AsTask().GetAwaiter().GetResult());
        }
    }

    [Test]
    public async Task Handler_ThatThrows_IsAFaultAtTheSender([Values] bool later)
    {
        _there.OnRequest = async (_, _, _) =>
        {
            if (later)
            {
                await Task.Yield();
            }

            throw new InvalidOperationException("the key is secret");
        };

        var reply = await _here.SendAsync(_there, TestNode.Read("key"));

        Assert.That(reply, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Failed));
        Assert.That(((PeerFault)reply).Reason, Does.Contain("InvalidOperationException").And.Not.Contain("secret"));
    }

    [Test]
    public async Task Peer_ThatDies_FailsAllPendingAtOnceAndIsTold()
    {
        var never = new TaskCompletionSource<PeerReply>();
        var arrived = new CountdownEvent(10);
        _there.OnRequest = (_, _, _) =>
        {
            arrived.Signal();
            return new ValueTask<PeerReply>(never.Task);
        };
        var broken = new TaskCompletionSource<PeerAddress>(TaskCreationOptions.RunContinuationsAsynchronously);
        _here.Transport.Broken += address => broken.TrySetResult(address);

        var pending = Enumerable.Range(0, 10).Select(i => _here.SendAsync(_there, TestNode.Read($"{i}"), TimeSpan.FromMinutes(1)).AsTask()).ToArray();
        await Task.Run(() => arrived.Wait(TestNode.Patience));
        await _there.DisposeAsync();
        var replies = await Task.WhenAll(pending).WaitAsync(TestNode.Patience);

        Assert.That(replies, Has.All.TypeOf<PeerFault>().With.All.Property("Kind").EqualTo(FaultKind.Unreachable));
        Assert.That(await broken.Task.WaitAsync(TestNode.Patience), Is.EqualTo(_there.Address));
        var next = await _here.SendAsync(_there, TestNode.Read("next"));
        Assert.That(next, Is.TypeOf<PeerFault>().With.Property("Kind").AnyOf(FaultKind.Unreachable, FaultKind.NotListening));
    }

    /// <summary>Whoever finds the lane sends on it: it has its reader before anything is said of it.</summary>
    [Test]
    public async Task Lane_WhoseDialCannotBeLogged_StandsAllTheSame()
    {
        var log = new FaultyLogger { IsFaulty = false };
        await using var dialler = TestNode.Create("dialler", logger: log);
        var address = _there.Address;
        await _there.DisposeAsync();
        var question = new TouchRequest([]) { IsGreeting = true };
        Assert.That(await dialler.SendAsync(_there, question), Is.TypeOf<PeerFault>());
        _there = await TestNode.StartAsync("there", port: address.Port);
        log.IsFaulty = true;
        Assert.That(() => dialler.SendAsync(_there, question).AsTask(), Throws.InvalidOperationException, "that it can be dialled again, or nothing is tested");

        Assert.That(Text(await dialler.SendAsync(_there, TestNode.Read("key"))), Is.EqualTo("key"));
    }

    [Test]
    public async Task Peer_ThatComesBack_IsReachedAgain()
    {
        await _here.SendAsync(_there, TestNode.Read("key"));
        await _there.DisposeAsync();
        await _here.SendAsync(_there, TestNode.Read("key"));

        await using var again = await TestNode.StartAsync("again", port: _there.Address.Port);
        PeerReply reply;
        var attempts = 0;
        do
        {
            reply = await _here.SendAsync(_there, TestNode.Read("key"));
            await Task.Yield();
        }
        while (reply is PeerFault && ++attempts < 1_000_000);

        Assert.That(Text(reply), Is.EqualTo("key"));
    }

    /// <summary>After a cut each lane has its own rest between dials: the first that stands ends that of the others.</summary>
    [Test]
    public async Task LaneThatCouldNotBeDialled_IsDialledAgain_WhenAnotherToTheSameAddressStands()
    {
        // Its clock stands still: a rest would never be over.
        await using var dialler = TestNode.Create("dialler", time: new ManualTime());
        var address = _there.Address;
        await _there.DisposeAsync();
        var data = TestNode.Read("key");
        Assert.That(await dialler.Transport.SendAsync(address, data, TestNode.Patience, default), Is.TypeOf<PeerFault>());
        _there = await TestNode.StartAsync("there", port: address.Port);
        Assert.That(await dialler.Transport.SendAsync(address, data, TestNode.Patience, default), Is.TypeOf<PeerFault>(), "the rest is not over");

        await dialler.SendAsync(_there, new HoldingsRequest(7));

        Assert.That(Text(await dialler.SendAsync(_there, data)), Is.EqualTo("key"));
    }

    /// <summary>What its refusal would be evidence of is a life that began after the last dial.</summary>
    [TestCase(nameof(ProbeRequest))]
    [TestCase(nameof(IndirectProbeRequest))]
    [TestCase(nameof(ExchangeRequest))]
    [TestCase(nameof(TouchRequest))]
    public async Task QuestionWhoseRefusalIsNews_WhileTheLaneRests_IsDialledAnew(string kind)
    {
        var target = _there.Identity;
        PeerRequest question = kind switch
        {
            nameof(ProbeRequest) => new ProbeRequest(target, []),
            nameof(IndirectProbeRequest) => new IndirectProbeRequest(target, _there.Address, []),
            nameof(ExchangeRequest) => new ExchangeRequest([]),
            _ => new TouchRequest([]) { IsGreeting = true },
        };

        // Its clock stands still: a rest would never be over.
        await using var dialler = TestNode.Create("dialler", time: new ManualTime());
        var address = _there.Address;
        PeerRequest other = question.Lane == Lane.Data ? TestNode.Read("key") : new GossipRequest([]);
        await _there.DisposeAsync();
        await dialler.SendAsync(_there, other);
        Assert.That(await dialler.SendAsync(_there, question), Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.NotListening));
        _there = await TestNode.StartAsync("there", port: address.Port);
        _there.OnRequest = (_, request, _) => ValueTask.FromResult<PeerReply>(request switch
        {
            ProbeRequest => new ProbeReply([]),
            IndirectProbeRequest => new IndirectProbeReply(Reached: true, Refused: false, []),
            ExchangeRequest => new ExchangeReply([]),
            _ => DoneReply.Instance,
        });
        Assert.That(await dialler.SendAsync(_there, other), Is.TypeOf<PeerFault>(), "the rest is not over");

        Assert.That(await dialler.SendAsync(_there, question), Is.Not.TypeOf<PeerFault>());
    }

    /// <summary>The dial under way began before the question: what it comes to says nothing of whoever has begun to listen since.</summary>
    [Test]
    public async Task QuestionWhoseRefusalIsNews_WhileAnOlderDialIsUnderWay_IsDialledAnew()
    {
        var port = new TcpListener(IPAddress.Loopback, 0);
        port.Start();
        var address = new PeerAddress("127.0.0.1", ((IPEndPoint)port.LocalEndpoint).Port);
        var older = _here.Transport.SendAsync(address, new GossipRequest([]), TestNode.Patience, default).AsTask();
        using var past = await port.AcceptSocketAsync().WaitAsync(TestNode.Patience);
        port.Stop();
        await using var present = await TestNode.StartAsync("present", port: address.Port);
        present.OnRequest = (_, _, _) => ValueTask.FromResult<PeerReply>(new ProbeReply([]));

        var question = _here.SendAsync(present, new ProbeRequest(present.Identity, [])).AsTask();
        past.Close();

        Assert.That(await older, Is.TypeOf<PeerFault>());
        Assert.That(await question, Is.Not.TypeOf<PeerFault>());
    }

    /// <summary>After a cut the lanes hang until TCP repeats: the first that is dialled anew ends that of the others.</summary>
    [Test]
    public async Task LaneThatHangs_IsGivenUp_WhenAnotherToTheSameAddressStands([Values] bool isHeardBetween)
    {
        var time = new ManualTime();
        await using var here = TestNode.Create("patient", time: time);
        var never = new TaskCompletionSource<PeerReply>();
        using var arrived = new SemaphoreSlim(0);
        _there.OnRequest = (_, request, _) =>
        {
            arrived.Release();
            return request switch
            {
                HoldingsRequest => ValueTask.FromResult<PeerReply>(new HoldingsReply(7, new SlotSet(), [], IsWhole: true)),
                ReadRequest read when Text(read.Key) == "never" => new ValueTask<PeerReply>(never.Task),
                _ => ValueTask.FromResult(TestNode.Echo(request)),
            };
        };
        var broken = 0;
        here.Transport.Broken += _ => broken++;
        await RunOutOfTimeAsync(here, TestNode.Read("never"), TimeSpan.FromSeconds(1), arrived, time);
        time.Advance(WireLimits.LastLook);
        if (isHeardBetween)
        {
            await here.SendAsync(_there, TestNode.Read("heard"));
        }

        await here.SendAsync(_there, new HoldingsRequest(7));

        Assert.That(broken, Is.EqualTo(isHeardBetween ? 0 : 1));
        Assert.That(Text(await here.SendAsync(_there, TestNode.Read("next"))), Is.EqualTo("next"));
    }

    [Test]
    public async Task Address_OfTheNodeItself_IsKnownAsSelf()
    {
        var reply = await _there.SendAsync(_there, TestNode.Read("key"));

        Assert.That(reply, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Self));
    }

    [Test]
    public async Task Clock_OfThePeer_IsMerged()
    {
        await using var ahead = TestNode.Create("ahead", clockTime: new ManualTime(DateTimeOffset.UtcNow.AddHours(23)));
        await ahead.SendAsync(_there, TestNode.Read("key"));
        await _here.SendAsync(_there, TestNode.Read("key"));

        var expected = (ulong)DateTimeOffset.UtcNow.AddHours(22).ToUnixTimeMilliseconds() << 16;
        Assert.That(_there.Clock.Current, Is.GreaterThan(expected));
        Assert.That(_here.Clock.Current, Is.GreaterThan(expected));
    }

    [Test]
    public async Task Request_WithALargeValue_HasTimeForIt()
    {
        var time = new ManualTime();
        await using var here = TestNode.Create("patient", time: time);
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answer = new TaskCompletionSource<PeerReply>();
        _there.OnRequest = (_, _, _) =>
        {
            arrived.TrySetResult();
            return new ValueTask<PeerReply>(answer.Task);
        };
        var request = new WriteRequest(new byte[] { 1 }, false, default, RemainingTime.Unlimited, new byte[8 << 20], WriteAck.All, 0, false);
        var write = here.SendAsync(_there, request, TimeSpan.FromSeconds(1)).AsTask();
        await arrived.Task.WaitAsync(TestNode.Patience);

        time.Advance(TimeSpan.FromMilliseconds(1_490));
        Assert.That(write.IsCompleted, Is.False, "8 MiB may take a quarter of a second more on either hop");
        time.Advance(TimeSpan.FromMilliseconds(20));
        Assert.That(await write.WaitAsync(TestNode.Patience), Is.SameAs(PeerFault.LargeTimedOut));
        answer.SetResult(DoneReply.Instance);
    }

    [Test]
    public async Task Value_LongerThanALane_TravelsInChunksBothWays([Values(65_537, 1 << 20, 3_500_000)] int size)
    {
        var value = new byte[size];
        new Random(1).NextBytes(value);
        byte[]? written = null;
        _there.OnRequest = (_, request, _) =>
        {
            if (request is WriteRequest write)
            {
                written = write.Value.ToArray();
            }

            return ValueTask.FromResult(request is ReadRequest ? TestNode.Hit(value) : TestNode.Echo(request));
        };

        var writeReply = await _here.SendAsync(
            _there, new WriteRequest(SampleMessages.Bytes("key"), false, default, RemainingTime.Unlimited, value, WriteAck.All, 0, false));
        var readReply = await _here.SendAsync(_there, TestNode.Read("key"));

        Assert.That(writeReply, Is.TypeOf<WriteReply>());
        Assert.That(written.AsSpan().SequenceEqual(value), Is.True);
        Assert.That(((ReadReply)readReply).Value.Span.SequenceEqual(value), Is.True);
    }

    [Test]
    public async Task Requests_MoreThanTheLimitInFlight_WaitWithinTheirTimeout()
    {
        await _here.SendAsync(_there, TestNode.Read("dials"));
        var answer = new TaskCompletionSource<PeerReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        _there.OnRequest = (_, _, _) => new ValueTask<PeerReply>(answer.Task);
        var pending = new List<Task<PeerReply>>();
        for (var i = 0; i < WireLimits.RequestsInFlight; i++)
        {
            pending.Add(_here.SendAsync(_there, TestNode.Read("key"), TimeSpan.FromMinutes(1)).AsTask());
        }

        var impatient = await _here.SendAsync(_there, TestNode.Read("impatient"), TimeSpan.FromMilliseconds(50));
        var patient = _here.SendAsync(_there, TestNode.Read("patient"), TimeSpan.FromMinutes(1)).AsTask();
        var waits = !patient.IsCompleted;
        answer.SetResult(TestNode.Hit(default));
        var replies = await Task.WhenAll(pending.Append(patient)).WaitAsync(TestNode.Patience);

        Assert.That(impatient, Is.SameAs(PeerFault.TimedOut));
        Assert.That(waits, Is.True);
        Assert.That(replies, Has.All.TypeOf<ReadReply>());
    }

    [TestCase(LaneLimits.InlineBytes, MessageKind.ReadReply)]
    [TestCase(LaneLimits.InlineBytes + 1, MessageKind.AskOnBulk)]
    public async Task Value_OnTheDataLane_IsAskedForOnBulkAboveTheLimit(int size, object expected)
    {
        _there.OnRequest = (_, _, _) => ValueTask.FromResult<PeerReply>(TestNode.Hit(new byte[size]));
        using var lane = new RawLane(_there.Address, RawLane.Frame(RawLane.Hello()));
        await lane.ReadAsync();

        await lane.WriteAsync(RawLane.Frame(5, TestNode.Read("key")));
        var reply = await lane.ReadAsync();

        Assert.That(ReadKind(reply), Is.EqualTo(expected));
    }

    [Test]
    public async Task Dialler_ThatReadsNoReplies_IsReadNoFurther()
    {
        const int requests = 40_000;
        var handled = 0;
        var value = new byte[2_000];
        _there.OnRequest = (from, request, _) =>
        {
            handled += from == SampleMessages.Identity ? 1 : 0;
            return ValueTask.FromResult<PeerReply>(TestNode.Hit(value));
        };
        using var lane = new RawLane(_there.Address, RawLane.Frame(RawLane.Hello()));
        await lane.ReadAsync();

        // More than fits into the windows: the write ends only if somebody reads it.
        var writing = lane.WriteAsync([.. Enumerable.Range(0, requests).SelectMany(i => RawLane.Frame((uint)i, TestNode.Read("key")))]);
        Assert.That(() => Volatile.Read(ref handled), Is.GreaterThan(1_000).After(Patience.Milliseconds, 10));
        for (var i = 0; i < 2_000; i++)
        {
            Assert.That(await _here.SendAsync(_there, TestNode.Read("key")), Is.TypeOf<ReadReply>(), "others are served meanwhile");
        }

        Assert.That(writing.IsCompleted, Is.False);
        Assert.That(handled, Is.LessThan(requests / 2));
        lane.Dispose();
        await Task.WhenAny(writing);
        await _here.DisposeAsync();
        Assert.That(() => _there.Transport.ServedConnections, Is.Zero.After(Patience.Milliseconds, 20), "the reader waits for ever");
    }

    /// <summary>
    /// The other end keeps to no limit: nothing more is read of its lane, and others are served. What a handler has done with makes room, whether
    /// or not anybody still waits for its reply.
    /// </summary>
    [TestCase(0, WireLimits.RequestsInFlight + 500, WireLimits.RequestsInFlight)]
    [TestCase(60_000, 1_500, WireLimits.BytesInFlight / 60_000)]
    public async Task Listener_WithAsMuchInHandAsALaneMayHave_ReadsNoFurther(int valueBytes, int requests, int limit)
    {
        var (handled, answer) = (0, new TaskCompletionSource<PeerReply>(TaskCreationOptions.RunContinuationsAsynchronously));
        _there.OnRequest = (from, request, _) =>
        {
            if (from != SampleMessages.Identity)
            {
                return ValueTask.FromResult(TestNode.Echo(request));
            }

            Interlocked.Increment(ref handled);
            return new ValueTask<PeerReply>(answer.Task);
        };
        var request = RawLane.Frame(5, new WriteRequest("key"u8.ToArray(), false, default, RemainingTime.Unlimited, new byte[valueBytes], WriteAck.All, 0, false));
        using var lane = new RawLane(_there.Address, RawLane.Frame(RawLane.Hello()));
        await lane.ReadAsync();

        var writing = lane.WriteAsync([.. Enumerable.Repeat(request, requests).SelectMany(bytes => bytes)]);
        Assert.That(() => Volatile.Read(ref handled), Is.GreaterThan(limit * 9 / 10).After(Patience.Milliseconds, 10));
        for (var i = 0; i < 2_000; i++)
        {
            Assert.That(await _here.SendAsync(_there, TestNode.Read("key")), Is.TypeOf<ReadReply>(), "others are served meanwhile");
        }

        // What came with the last one is pinned with it.
        Assert.That(handled, Is.LessThanOrEqualTo(limit + (valueBytes == 0 ? 0 : limit / 20)));
        answer.SetResult(new WriteReply(WriteOutcome.Acknowledged, 0, 1, 1));
        Assert.That(() => Volatile.Read(ref handled), Is.EqualTo(requests).After(Patience.Milliseconds, 10), "what is done makes no room");
        await writing;
    }

    [Test]
    public async Task Dialler_ThatEndsItsSide_StillGetsItsReplies()
    {
        var answer = new TaskCompletionSource<PeerReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        _there.OnRequest = (_, _, _) => new ValueTask<PeerReply>(answer.Task);
        using var lane = new RawLane(_there.Address, RawLane.Frame(RawLane.Hello()));
        await lane.ReadAsync();
        await lane.WriteAsync(RawLane.Frame(5, TestNode.Read("key")));
        lane.EndRequest();
        answer.SetResult(TestNode.Hit(default));

        Assert.That(await lane.ReadAsync(), Is.Not.Null);
        Assert.That((await lane.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.Ok));
    }

    /// <summary>
    /// 1. The dialler ends its side. 2. What it asked is answered 600 ms later. 3. It reads no answers, and has no second of its own for that.
    /// </summary>
    [Test]
    public async Task LastReplies_OfALaneThatEnds_HaveASecondAllInAll()
    {
        using var metrics = new CountedMetrics();
        var time = new ManualTime();
        await using var node = await TestNode.StartAsync("punctual", time: time);
        var answer = new TaskCompletionSource<PeerReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        node.OnRequest = (_, _, _) => new ValueTask<PeerReply>(answer.Task);
        using var lane = new RawLane(node.Address, RawLane.Frame(RawLane.Hello()));
        await lane.ReadAsync();
        await lane.WriteAsync([.. Enumerable.Range(0, 50).SelectMany(i => RawLane.Frame((uint)i, TestNode.Read("key")))]);

        lane.EndRequest();
        Assert.That(() => time.NextDue, Is.EqualTo(TimeSpan.FromSeconds(1)).After(5_000, 5));
        time.Advance(TimeSpan.FromMilliseconds(600));
        answer.SetResult(TestNode.Hit(new byte[60_000]));
        Assert.That(() => metrics["distcache.wire.lanes.served"], Is.Zero.After(5_000, 5), "nothing is left to handle");
        time.Advance(TimeSpan.FromMilliseconds(399));
        var standing = time.ActiveTimers;
        Assert.That(time.NextDue, Is.EqualTo(TimeSpan.FromMilliseconds(1)));

        time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.That(() => time.ActiveTimers, Is.LessThan(standing).After(5_000, 5));
    }

    [Test]
    public async Task Dispose_AnswersWhatWasReadBefore()
    {
        var isHere = new TaskCompletionSource();
        var reply = new TaskCompletionSource<PeerReply>();
        _there.OnRequest = (_, _, _) =>
        {
            isHere.SetResult();
            return new ValueTask<PeerReply>(reply.Task);
        };
        var pending = _here.SendAsync(_there, TestNode.Read("key"));
        await isHere.Task.WaitAsync(TestNode.Patience);

        var disposed = _there.DisposeAsync();
        while (await TakesConnectionsAsync(_there.Address))
        {
        }

        // The lanes were told before the port was closed.
        reply.SetResult(TestNode.Hit(SampleMessages.Bytes("value")));

        Assert.That(Text(await pending), Is.EqualTo("value"));
        await disposed;
    }

    [Test]
    public async Task Dispose_WithLanesAndRequestsInFlight_EndsSoonAndFreesThePort()
    {
        var never = new TaskCompletionSource<PeerReply>();
        _there.OnRequest = (_, _, _) => new ValueTask<PeerReply>(never.Task);
        var pending = _here.SendAsync(_there, TestNode.Read("key")).AsTask();

        await _there.DisposeAsync().AsTask().WaitAsync(TestNode.Patience);
        await _here.DisposeAsync().AsTask().WaitAsync(TestNode.Patience);

        Assert.That(await pending, Is.TypeOf<PeerFault>());
        await using var next = await TestNode.StartAsync("next", port: _there.Address.Port);
        Assert.That(next.Address.Port, Is.EqualTo(_there.Address.Port));
    }

    [Test]
    public async Task Port_InUse_IsOneClearException()
    {
        await using var second = TestNode.Create("second");

        Assert.That(
            async () => await second.Transport.StartAsync(_there.Address, CancellationToken.None),
            Throws.TypeOf<IOException>().With.Message.EqualTo($"DistCache cannot listen on {_there.Address} (Cluster.Listen): the address is already in use."));
    }

    /// <summary>The request arrives, and nobody answers it in its time.</summary>
    private async Task RunOutOfTimeAsync(TestNode here, PeerRequest request, TimeSpan timeout, SemaphoreSlim arrived, ManualTime time)
    {
        var pending = here.SendAsync(_there, request, timeout).AsTask();
        await arrived.WaitAsync(TestNode.Patience);
        time.Advance(timeout);
        Assert.That(await pending.WaitAsync(TestNode.Patience), Is.SameAs(PeerFault.TimedOut));
    }

    private static async Task<bool> TakesConnectionsAsync(PeerAddress address)
    {
        using var client = new TcpClient();
        try
        {
            await client.ConnectAsync(address.Host, address.Port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static MessageKind ReadKind(byte[]? message)
    {
        var reader = new MessagePackReader(message);
        return MessageHead.Read(ref reader).Kind;
    }

    private static string Text(PeerReply reply) => reply is ReadReply read ? Text(read.Value) : $"{reply}";

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);
}
