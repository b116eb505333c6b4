using System.Net;
using System.Net.Sockets;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>
/// Whatever a stranger sends: one clear answer where there is a stream to answer on, a count, no leaked connection, and the node goes on.
/// </summary>
internal sealed class BadInputTests
{
    private CountedMetrics _metrics = null!;
    private TestNode _node = null!;

    [SetUp]
    public async Task StartNode()
    {
        _metrics = new CountedMetrics();
        _node = await TestNode.StartAsync("node");
    }

    [TearDown]
    public async Task NodeGoesOnServingWithoutTheStranger()
    {
        await using (var friend = TestNode.Create("friend"))
        {
            Assert.That(await friend.SendAsync(_node, TestNode.Read("key")), Is.TypeOf<ReadReply>());
        }

        Assert.That(() => _node.Transport.ServedConnections, Is.Zero.After(Patience.Milliseconds, 20), "a connection is leaked");
        await _node.DisposeAsync();
        _metrics.Dispose();
    }

    private static IEnumerable<TestCaseData> BadFirstMessages()
    {
        static byte[] Announce(int length) => [0, (byte)(length >> 24), (byte)(length >> 16), (byte)(length >> 8), (byte)length];
        var otherProtocol = RawLane.Hello() with { Protocol = 99 };
        var tooFarAhead = (ulong)DateTimeOffset.UtcNow.AddHours(25).ToUnixTimeMilliseconds() << 16;
        yield return Case("another cluster", RawLane.Frame(RawLane.Hello("other")), GrpcStatus.FailedPrecondition, "cluster", "\"other\".*\"test\"");
        yield return Case("another protocol", RawLane.Frame(otherProtocol), GrpcStatus.FailedPrecondition, "protocol", "99.*1");
        yield return Case("an older protocol with fewer fields", OlderHello(), GrpcStatus.FailedPrecondition, "protocol", "version 0.*1");
        yield return Case("a node name of 256 bytes", HelloOf(NodeName.MaximumBytes + 1), GrpcStatus.InvalidArgument, "malformed", "256 bytes.*255");
        yield return Case("a clock far ahead", RawLane.Frame(RawLane.Hello(clock: tooFarAhead)), GrpcStatus.FailedPrecondition, "clock", "24 hours");
        yield return Case("a secret", RawLane.Frame(RawLane.Hello(hasSecret: true)), GrpcStatus.Unauthenticated, "secret", "SharedSecret");
        yield return Case("not MessagePack", RawLane.Frame(0xC1, 0xFF, 0x00), GrpcStatus.InvalidArgument, "malformed", "0xC1");
        yield return Case("nothing", RawLane.Frame(), GrpcStatus.InvalidArgument, "malformed", "ends before");
        yield return Case("a request", RawLane.Frame(1, TestNode.Read("key")), GrpcStatus.InvalidArgument, "malformed", "kind 16");
        yield return Case("compressed", [1, 0, 0, 0, 1, 0], GrpcStatus.InvalidArgument, "malformed", "compression flag 1");
        yield return Case("65 537 bytes", Announce(65_537), GrpcStatus.ResourceExhausted, "limit", "65537.*65536");
        yield return Case("a gigabyte", Announce(1 << 30), GrpcStatus.ResourceExhausted, "limit", "1073741824");

        static TestCaseData Case(string name, byte[] bytes, GrpcStatus status, string reason, string message) =>
            new TestCaseData(bytes, status, reason, message).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(BadFirstMessages))]
    public async Task FirstMessage_ThatIsWrong_IsRefusedWithStatusAndReason(byte[] bytes, GrpcStatus status, string reason, string message)
    {
        using var lane = new RawLane(_node.Address, bytes);

        var end = await lane.ReadStatusAsync();

        Assert.That(end.Status, Is.EqualTo(status), end.Message);
        Assert.That(end.Message, Does.Match(message));
        Assert.That(_metrics[$"distcache.wire.lanes.refused/{reason}"], Is.EqualTo(1));
    }

    [Test]
    public async Task FirstMessage_ThatEndsInTheMiddle_IsRefusedAsMalformed()
    {
        using var lane = new RawLane(_node.Address, RawLane.Frame(RawLane.Hello())[..20]);
        lane.EndRequest();

        Assert.That((await lane.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.InvalidArgument));
    }

    [Test]
    public async Task Hello_CutShortAtEveryByte_IsRefusedAndCountedEachTime()
    {
        // Here no byte at all is too few as well: a lane has to begin with a Hello.
        var hello = RawLane.Frame(RawLane.Hello());
        for (var length = 0; length < hello.Length; length++)
        {
            using var lane = new RawLane(_node.Address, hello[..length]);
            lane.EndRequest();

            Assert.That((await lane.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.InvalidArgument), $"{length} bytes");
            Assert.That(_metrics["distcache.wire.lanes.refused/malformed"], Is.EqualTo(length + 1), $"{length} bytes");
        }
    }

    [Test]
    public async Task Gossip_CutShortAtEveryByte_IsRefusedAndCountedEachTime()
    {
        var gossip = RawLane.Frame(1, new GossipRequest([SampleMessages.Member]));
        for (var length = 0; length < gossip.Length; length++)
        {
            using var lane = await GreetAsync(Lane.Control);
            await lane.WriteAsync(gossip[..length]);
            lane.EndRequest();

            // After the greeting no byte at all is a plain end: only the cuts after it are counted.
            Assert.That((await lane.ReadStatusAsync()).Status, Is.EqualTo(length == 0 ? GrpcStatus.Ok : GrpcStatus.InvalidArgument), $"{length} bytes");
            Assert.That(_metrics["distcache.wire.lanes.refused/malformed"], Is.EqualTo(length), $"{length} bytes");
        }
    }

    [Test]
    public async Task Gossip_ThatAnnouncesAMillionMembersInTwentyBytes_EndsTheLane()
    {
        using var lane = await GreetAsync(Lane.Control);
        byte[] body = [0x94, (byte)MessageKind.Gossip, 1, 1, 0xDD, 0x00, 0x0F, 0x42, 0x40, .. new byte[11]];
        await lane.WriteAsync(RawLane.Frame(body));

        var end = await lane.ReadStatusAsync();

        Assert.That(end.Status, Is.EqualTo(GrpcStatus.InvalidArgument), end.Message);
        Assert.That(end.Message, Does.Contain("ends before what it announces"));
        Assert.That(_metrics["distcache.wire.lanes.refused/malformed"], Is.EqualTo(1));
    }

    [Test]
    public async Task Gossip_OfANameLongerThanAllowed_EndsTheLane()
    {
        using var lane = await GreetAsync(Lane.Control);
        await lane.WriteAsync(GossipOf(NodeName.MaximumBytes));
        Assert.That(await lane.ReadAsync(), Is.Not.Null, "the longest name is answered");

        await lane.WriteAsync(GossipOf(NodeName.MaximumBytes + 1));
        var end = await lane.ReadStatusAsync();

        Assert.That(end.Status, Is.EqualTo(GrpcStatus.InvalidArgument), end.Message);
        Assert.That(end.Message, Does.Match("256 bytes.*255"));
        Assert.That(_metrics["distcache.wire.lanes.refused/malformed"], Is.EqualTo(1));
    }

    [Test]
    public async Task Hello_OfTheLongestName_IsAnswered()
    {
        using var lane = new RawLane(_node.Address, HelloOf(NodeName.MaximumBytes));

        Assert.That(await lane.ReadAsync(), Is.Not.Null);
    }

    [Test]
    public async Task Dialler_WithTheNonceOfItsOwnNode_IsTold()
    {
        var reply = await _node.SendAsync(_node, TestNode.Read("key"));

        Assert.That(reply, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Self));
    }

    [Test]
    public async Task Dialler_ThatDoesNotProve_IsShownTheDoorInTime()
    {
        var time = new ManualTime();
        await using var node = await TestNode.StartAsync("patient", secret: "a secret", time: time);
        using var lane = new RawLane(node.Address, RawLane.Frame(RawLane.Hello(hasSecret: true)));
        await lane.ReadAsync();

        time.Advance(WireLimits.HandshakeTimeout);
        var end = await lane.ReadStatusAsync();

        Assert.That(end.Status, Is.EqualTo(GrpcStatus.ResourceExhausted));
        Assert.That(end.Message, Does.Contain("within 5 s"));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(() => node.Transport.ServedConnections, Is.Zero.After(Patience.Milliseconds, 10));
    }

    [TestCase(new byte[0])]
    [TestCase(new[] { (byte)'P' })]
    public async Task Connection_ThatAsksForNothing_IsClosedInTime(byte[] bytes)
    {
        var time = new ManualTime();
        await using var node = await TestNode.StartAsync("patient", time: time);
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(node.Address.Host, node.Address.Port);
        await socket.SendAsync(bytes);
        Assert.That(() => time.ActiveTimers, Is.EqualTo(1).After(Patience.Milliseconds, 10), "it was not accepted");

        time.Advance(WireLimits.HandshakeTimeout);

        await ReadToEndAsync(socket);
        Assert.That(() => node.Transport.ServedConnections, Is.Zero.After(Patience.Milliseconds, 10));
    }

    [Test]
    public async Task Lane_OfAKnownPeer_IsNotShownTheDoor()
    {
        var time = new ManualTime();
        await using var node = await TestNode.StartAsync("patient", time: time);
        await using var friend = TestNode.Create("friend");
        await friend.SendAsync(node, TestNode.Read("key"));
        node.OnRequest = (_, _, _) => ValueTask.FromResult<PeerReply>(TestNode.Hit("the same lane"u8.ToArray()));
        var isBroken = false;
        friend.Transport.Broken += _ => isBroken = true;

        time.Advance(TimeSpan.FromMinutes(1));

        Assert.That(await friend.SendAsync(node, TestNode.Read("key")), Is.TypeOf<ReadReply>());
        Assert.That(isBroken, Is.False);
    }

    [Test]
    public async Task Stranger_ThatSendsMoreThan64KiB_IsCutOff()
    {
        using var lane = new RawLane(_node.Address, [0, 0, 0, 0xFF, 0xFF, .. new byte[40_000]]);

        async Task GoOnAsync()
        {
            await lane.WriteAsync(new byte[25_600]);
            await lane.ReadStatusAsync();
        }

        // Whether the client has noticed the end before the write, and disposed of the stream, is a race of its own.
        Assert.That(GoOnAsync, Throws.InstanceOf<IOException>().Or.InstanceOf<HttpRequestException>().Or.InstanceOf<ObjectDisposedException>());

        Assert.That(() => _metrics["distcache.wire.connections.refused/unproved"], Is.EqualTo(1).After(Patience.Milliseconds, 10));
    }

    [Test]
    public async Task Port_FullOfStrangers_LetsAMemberIn()
    {
        await using var node = await TestNode.StartAsync("crowded", time: new ManualTime());
        await using var early = TestNode.Create("early");
        await early.SendAsync(node, TestNode.Read("key"));
        var isBroken = false;
        early.Transport.Broken += _ => isBroken = true;
        List<Socket> strangers = [];
        try
        {
            while (strangers.Count < WireLimits.Connections)
            {
                strangers.Add(new Socket(SocketType.Stream, ProtocolType.Tcp));
                await strangers[^1].ConnectAsync(node.Address.Host, node.Address.Port);
            }

            await using var late = TestNode.Create("late");
            Assert.That(await late.SendAsync(node, TestNode.Read("key")), Is.TypeOf<ReadReply>());
            Assert.That(isBroken, Is.False, "one that is known does not count");
            Assert.That(() => node.Transport.ServedConnections, Is.InRange(3, WireLimits.Strangers + 2).After(Patience.Milliseconds, 10));
        }
        finally
        {
            strangers.ForEach(socket => socket.Dispose());
        }
    }

    /// <summary>
    /// More connections than the port takes at all, each with a first byte, and more while the member dials; its own timeouts never come. From another address, as a flood
    /// is; of all 127.0.0.0/8 only Linux has all.
    /// </summary>
    [Test]
    [Platform(Include = "Linux")]
    public async Task Member_DialsDuringAFlood_IsLetInAtItsFirstDial()
    {
        await using var node = await TestNode.StartAsync("flooded", time: new ManualTime());
        await using var member = TestNode.Create("member");
        using var slow = new RawLane(node.Address, []);
        Assert.That(() => node.Transport.ServedConnections, Is.EqualTo(1).After(Patience.Milliseconds, 10));
        using var stop = new CancellationTokenSource();
        using var flood = new Flood(node.Address);
        await flood.RunAsync(WireLimits.Connections + WireLimits.Strangers, CancellationToken.None);
        Assert.That(() => flood.Standing, Is.EqualTo(WireLimits.Strangers - 1).After(Patience.Milliseconds, 10), "with the slow one as many strangers as there may be");
        var before = flood.Count;
        var going = flood.RunAsync(100_000, stop.Token);
        node.OnRequest = (_, request, _) => ValueTask.FromResult<PeerReply>(request.Lane switch
        {
            Lane.Control => new HoldingsReply(7, new SlotSet(), [], IsWhole: true),
            Lane.Data => TestNode.Echo(request),
            _ => new TransferReply([], 5, IsEnd: true, Lookups: 0),
        });

        foreach (var request in new PeerRequest[] { new HoldingsRequest(7), TestNode.Read("key"), new TransferRequest(new SlotSet(), 0, 100) })
        {
            var reply = await member.SendAsync(node, request, WireLimits.HandshakeTimeout);
            Assert.That(reply, Is.Not.TypeOf<PeerFault>(), $"{(reply as PeerFault)?.Reason}");
        }

        await slow.WriteAsync(RawLane.Frame(RawLane.Hello()));
        Assert.That(ControlCodec.ReadHello(await slow.ReadAsync()).Identity, Is.EqualTo(node.Identity), "the oldest of all, from another address, may stay");
        await stop.CancelAsync();
        await going;
        TestContext.Out.WriteLine($"{flood.Count - before} strangers came while it dialled");
        Assert.That(() => node.Transport.ServedConnections, Is.LessThanOrEqualTo(WireLimits.Strangers + 4).After(Patience.Milliseconds, 10));
    }

    [Test]
    public async Task SecondLane_OnAConnection_IsRefused()
    {
        using var client = new HttpMessageInvoker(new SocketsHttpHandler { UseProxy = false });
        using var first = new RawLane(_node.Address, RawLane.Frame(RawLane.Hello()), client: client);
        await first.ReadAsync();
        using var second = new RawLane(_node.Address, RawLane.Frame(RawLane.Hello()), client: client);

        var end = await second.ReadStatusAsync();

        Assert.That(end.Status, Is.EqualTo(GrpcStatus.ResourceExhausted));
        Assert.That(end.Message, Does.Contain("one lane"));
    }

    [Test]
    public async Task Message_MalformedAfterTheHandshake_EndsTheLane()
    {
        using var lane = await GreetAsync();
        await lane.WriteAsync(RawLane.Frame(0x93, 0x10, 0x01, 0x01));

        var end = await lane.ReadStatusAsync();

        Assert.That(end.Status, Is.EqualTo(GrpcStatus.InvalidArgument));
        Assert.That(end.Message, Does.Contain("kind 16 with 0 fields"));
        Assert.That(_metrics["distcache.wire.lanes.refused/malformed"], Is.EqualTo(1));
    }

    [TestCase(Lane.Control, WireLimits.InlineMessageBytes)]
    [TestCase(Lane.Data, WireLimits.InlineMessageBytes)]
    [TestCase(Lane.Bulk, LaneLimits.ChunkBytes + WireLimits.ChunkOverheadBytes)]
    public async Task Message_LongerThanItsLaneAllows_EndsTheLane(Lane kind, int limit)
    {
        using var lane = await GreetAsync(kind);
        var length = limit + 1;
        await lane.WriteAsync(0, (byte)(length >> 24), (byte)(length >> 16), (byte)(length >> 8), (byte)length);

        Assert.That((await lane.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.ResourceExhausted));
        Assert.That(_metrics["distcache.wire.lanes.refused/limit"], Is.EqualTo(1));
    }

    [Test]
    public async Task Request_OfAnUnknownKind_IsAnsweredAndTheLaneGoesOn()
    {
        using var lane = await GreetAsync();
        await lane.WriteAsync(RawLane.Frame(0x94, 0xCD, 0xFF, 0xFE, 0x07, 0x01, 0xC0));
        var fault = DecodeReply(await lane.ReadAsync(), out var faultHead);
        await lane.WriteAsync(RawLane.Frame(0x94, 0xCD, 0xFF, 0xFF, 0x08, 0x01, 0xC0));
        await lane.WriteAsync(RawLane.Frame(9, TestNode.Read("key")));
        var hit = DecodeReply(await lane.ReadAsync(), out var hitHead);

        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Unsupported));
        Assert.That(faultHead.Id, Is.EqualTo(7));
        Assert.That(hit, Is.TypeOf<ReadReply>());
        Assert.That(hitHead.Id, Is.EqualTo(9), "the unknown note was answered");
        Assert.That(_metrics["distcache.wire.messages.unsupported"], Is.EqualTo(2));
    }

    [TestCase(100, 0, 10, 0, 10, TestName = "Chunk_OutOfOrder_EndsTheLane(the same again)")]
    [TestCase(100, 50, 10, -1, 0, TestName = "Chunk_OutOfOrder_EndsTheLane(not from the start)")]
    [TestCase(100, 0, 101, -1, 0, TestName = "Chunk_OutOfOrder_EndsTheLane(beyond the end)")]
    [TestCase(100, 0, 0, -1, 0, TestName = "Chunk_OutOfOrder_EndsTheLane(empty)")]
    public async Task Chunk_OutOfOrder_EndsTheLane(int whole, int offset, int length, int nextOffset, int nextLength)
    {
        using var lane = await GreetAsync(Lane.Bulk);
        await lane.WriteAsync(Chunk(1, whole, offset, length));
        if (nextLength > 0)
        {
            await lane.WriteAsync(Chunk(1, whole, nextOffset, nextLength));
        }

        Assert.That((await lane.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.InvalidArgument));
    }

    [Test]
    public async Task Chunks_OfMoreThanALaneBears_EndTheLane()
    {
        using var lane = await GreetAsync(Lane.Bulk);
        await lane.WriteAsync([.. Chunk(1, WireLimits.MaximumMessageBytes, 0, 1), .. Chunk(2, WireLimits.MaximumMessageBytes, 0, 1)]);

        Assert.That((await lane.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.ResourceExhausted));
    }

    [TestCase("/", "application/grpc")]
    [TestCase("/distcache.v1.Peer/Other", "application/grpc+proto")]
    [TestCase(GrpcProtocol.ExchangePath, "application/json")]
    [TestCase("/grpc.health.v1.Health/Watch", "application/grpc")]
    public async Task Request_ForWhatIsNotServed_IsUnimplemented(string path, string contentType)
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://{_node.Address}{path}")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent([]) { Headers = { { "content-type", contentType } } },
        };

        using var response = await client.SendAsync(request);

        Assert.That(response.Headers.GetValues(GrpcProtocol.StatusName), Is.EqualTo(new[] { "12" }));
    }

    private static IEnumerable<TestCaseData> NotHttp2()
    {
        var random = new byte[4_000];
        new Random(7).NextBytes(random);
        yield return new TestCaseData(random).SetArgDisplayNames("random bytes");
        yield return new TestCaseData("GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray()).SetArgDisplayNames("HTTP/1.1");
        yield return new TestCaseData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray().Concat(random).ToArray()).SetArgDisplayNames("bad frames");
    }

    [TestCaseSource(nameof(NotHttp2))]
    public async Task Bytes_ThatAreNotHttp2_CloseTheConnectionAndAreCounted(byte[] bytes)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(_node.Address.Host, _node.Address.Port);
        await socket.SendAsync(bytes);

        await ReadToEndAsync(socket);

        Assert.That(() => _metrics["distcache.wire.connections.refused/http2"], Is.EqualTo(1).After(Patience.Milliseconds, 10));
    }

    [Test]
    public async Task Connection_ThatNeverBecomesHttp2_IsClosed()
    {
        using var silent = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await silent.ConnectAsync(_node.Address.Host, _node.Address.Port);
        using var tls = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await tls.ConnectAsync(_node.Address.Host, _node.Address.Port);
        await tls.SendAsync(Convert.FromHexString("16030100A5010000A10303" + new string('5', 400)));

        await Task.WhenAll(ReadToEndAsync(silent), ReadToEndAsync(tls));

        Assert.That(() => _metrics["distcache.wire.connections.refused/http2"], Is.EqualTo(2).After(Patience.Milliseconds, 10));
    }

    private static async Task ReadToEndAsync(Socket socket)
    {
        using var patience = new CancellationTokenSource(TestNode.Patience);
        var buffer = new byte[1_024];
        try
        {
            while (await socket.ReceiveAsync(buffer, patience.Token) > 0)
            {
            }
        }
        catch (SocketException)
        {
            // A reset is a close too.
        }
    }

    /// <summary>[protocol, cluster], and nothing of what was added since.</summary>
    private static byte[] OlderHello() => RawLane.Frame(buffer =>
    {
        var writer = new MessagePackWriter(buffer);
        new MessageHead(MessageKind.Hello, 0, 1, 2).Write(writer);
        writer.Write(0UL);
        writer.WriteString("test");
    });

    /// <summary>A <see cref="NodeName"/> that is too long cannot be built: these are the fields one by one.</summary>
    private static byte[] HelloOf(int nameBytes) => RawLane.Frame(buffer =>
    {
        var hello = RawLane.Hello();
        var writer = new MessagePackWriter(buffer);
        new MessageHead(MessageKind.Hello, 0, hello.Clock, 7).Write(writer);
        writer.Write((ulong)hello.Protocol);
        writer.WriteString(hello.Cluster);
        writer.WriteString(new string('n', nameBytes));
        writer.Write(hello.Identity.Incarnation);
        writer.WriteBinary(hello.Nonce.Span);
        writer.Write((ulong)hello.Lane);
        writer.Write(hello.HasSecret);
    });

    private static byte[] GossipOf(int nameBytes) => RawLane.Frame(buffer =>
    {
        var member = SampleMessages.Member;
        var writer = new MessagePackWriter(buffer);
        new MessageHead(MessageKind.Gossip, 1, 1, 1).Write(writer);
        writer.WriteArrayHeader(1);
        writer.WriteArrayHeader(8);
        writer.WriteArrayHeader(2);
        writer.WriteString(new string('n', nameBytes));
        writer.Write(member.Identity.Incarnation);
        writer.Write((ulong)member.Refutation);
        writer.Write((ulong)member.State);
        ElementCodec.Write(writer, member.Address);
        writer.WriteString(member.Zone);
        writer.Write((long)member.ReplicaCount);
        writer.WriteString(member.Accuser.ToString());
        writer.Write((long)member.UnsettledMilliseconds);
    });

    private static byte[] Chunk(uint id, int whole, int offset, int length) => RawLane.Frame(buffer =>
    {
        ControlCodec.WriteChunkHead(new MessagePackWriter(buffer), id, 1, whole, offset, length);
        buffer.Append(new byte[length]);
    });

    private static PeerReply? DecodeReply(byte[]? message, out MessageHead head)
    {
        var reader = new MessagePackReader(message);
        head = MessageHead.Read(ref reader);
        return MessageCodec.DecodeReply(head, ref reader, message, new ReceiveBuffer(message!));
    }

    private async Task<RawLane> GreetAsync(Lane kind = Lane.Data)
    {
        var lane = new RawLane(_node.Address, RawLane.Frame(RawLane.Hello(lane: kind)));
        Assert.That(ControlCodec.ReadHello(await lane.ReadAsync()).Identity, Is.EqualTo(_node.Identity));
        return lane;
    }

    /// <summary>Connects, says one byte, and holds on for as long as it may; its own oldest go after some time, for want of files.</summary>
    private sealed class Flood(PeerAddress target) : IDisposable
    {
        private const int Held = 1_500;

        private readonly Queue<Socket> _held = [];

        public int Count { get; private set; }

        /// <summary>The connections that the node has not closed. It says nothing to a first byte: there is something to read at the end only.</summary>
        public int Standing => _held.Count(static socket => !socket.Poll(0, SelectMode.SelectRead));

        public async Task RunAsync(int connections, CancellationToken stop)
        {
            for (var end = Count + connections; Count < end && !stop.IsCancellationRequested; Count++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                _held.Enqueue(socket);
                socket.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.2"), 0));
                await socket.ConnectAsync(target.Host, target.Port, CancellationToken.None);
                await SayAsync(socket);
                if (_held.Count > Held)
                {
                    _held.Dequeue().Dispose();
                }
            }
        }

        public void Dispose()
        {
            foreach (var socket in _held)
            {
                // With a reset: thousands of ports that wait for their time would be missing elsewhere.
                socket.Close(0);
            }
        }

        private static async Task SayAsync(Socket socket)
        {
            try
            {
                await socket.SendAsync("P"u8.ToArray(), CancellationToken.None);
            }
            catch (SocketException)
            {
                // It had to go already.
            }
        }
    }
}
