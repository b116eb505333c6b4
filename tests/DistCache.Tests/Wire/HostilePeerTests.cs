using System.Net;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace DistCache.Tests.Wire;

/// <summary>A peer that greets as it should and then answers what it should not: the lane ends, its callers hear why, the node goes on.</summary>
internal sealed class HostilePeerTests
{
    private static IEnumerable<TestCaseData> BadReplies()
    {
        yield return Case("a reply of the wrong kind", Reply(1, DoneReply.Instance), FaultKind.Refused);
        yield return Case("a malformed reply", RawLane.Frame(0x94, 0x11, 0x01, 0x01, 0xC1), FaultKind.Refused);
        yield return Case("not MessagePack", RawLane.Frame(0xC1), FaultKind.Refused);
        yield return Case("too long", [0, 0x7F, 0xFF, 0xFF, 0xFF], FaultKind.Refused);
        yield return Case("a clock far ahead", RawLane.Frame(0x93, 0x17, 0x01, 0xCF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF), FaultKind.Refused);
        yield return Case("the end", [], FaultKind.Unreachable);
        yield return Case("half a message", [0, 0, 0, 0, 9, 1], FaultKind.Unreachable);

        static TestCaseData Case(string name, byte[] reply, FaultKind expected) => new TestCaseData(reply, expected).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(BadReplies))]
    public async Task Reply_ThatIsWrong_EndsTheLane(byte[] reply, FaultKind expected)
    {
        await using var here = TestNode.Create("here");
        await using var peer = await HostilePeer.StartAsync(_ => reply, endsAfterwards: true);

        var fault = await here.Transport.SendAsync(peer.Address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(expected), $"{fault}");
        await using var friend = await TestNode.StartAsync("friend");
        Assert.That(await here.SendAsync(friend, TestNode.Read("key")), Is.TypeOf<ReadReply>());
    }

    [Test]
    public async Task Reply_NobodyAskedFor_IsPassedOver()
    {
        await using var here = TestNode.Create("here");
        await using var peer = await HostilePeer.StartAsync(
            id => [.. Reply(id + 1_000, DoneReply.Instance), .. RawLane.Frame(0x93, 0xCD, 0xFF, 0xFF, 0x01, 0x01), .. Reply(id, TestNode.Hit(default))],
            endsAfterwards: false);

        var reply = await here.Transport.SendAsync(peer.Address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(reply, Is.TypeOf<ReadReply>());
    }

    [Test]
    public async Task Greeting_WithTheDiallersOwnNonce_IsRefused()
    {
        await using var here = TestNode.Create("here");
        await using var peer = await HostilePeer.StartAsync(_ => [], endsAfterwards: true, reflects: true);

        var fault = await here.Transport.SendAsync(peer.Address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Refused));
        Assert.That(((PeerFault)fault).Reason, Does.Contain("nonce"));
    }

    /// <summary>A dial that was refused before the peer's port was open, and hears of it after another lane already stands.</summary>
    [TestCase(1, true)]
    [TestCase(2, false)]
    public async Task Dial_ThatFailsAfterAnotherLaneCameToStand_IsTriedOnceMore(int doomed, bool expected)
    {
        const int MostDials = 2;
        var dials = 0;
        var dialled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var otherStands = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        // Its clock stands still: a rest would never be over.
        await using var here = TestNode.Create("here", time: new ManualTime());
        await using var peer = await HostilePeer.StartAsync(
            id => Reply(id, TestNode.Hit(default)),
            endsAfterwards: false,
            onHello: async hello =>
            {
                if (hello.Lane == Lane.Data && Interlocked.Increment(ref dials) <= doomed)
                {
                    dialled.TrySetResult();
                    await otherStands.Task;
                    throw new IOException("doomed");
                }
            });
        var read = here.Transport.SendAsync(peer.Address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None).AsTask();
        await dialled.Task.WaitAsync(TestNode.Patience);

        // Its reply is wrong, but the lane stood.
        await here.Transport.SendAsync(peer.Address, new HoldingsRequest(7), TestNode.Patience, CancellationToken.None);
        otherStands.SetResult();

        var reply = await read.WaitAsync(TestNode.Patience);
        Assert.That(reply is ReadReply, Is.EqualTo(expected), $"{reply}");
        Assert.That(dials, Is.EqualTo(MostDials));
    }

    /// <summary>Its value is the caller's again, and the peer is not to hold what came of it for ever.</summary>
    [Test]
    public async Task LargeRequest_GivenUpInTheMiddle_IsAbandonedAtThePeer([Values] bool byToken)
    {
        const int ValueBytes = 16 << 20;
        var time = new ManualTime();
        var (first, gate) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        var abandoned = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var chunks = 0;
        await using var here = TestNode.Create("here", time: time);
        await using var peer = await HostilePeer.StartAsync(
            _ => [],
            endsAfterwards: false,
            onMessage: kind =>
            {
                chunks += kind == MessageKind.Chunk ? 1 : 0;
                _ = kind == MessageKind.Abandon && abandoned.TrySetResult();
                first.TrySetResult();
                return gate.Task;
            });
        using var caller = new CancellationTokenSource();
        var write = new WriteRequest("key"u8.ToArray(), false, default, RemainingTime.Unlimited, new byte[ValueBytes], WriteAck.All, 0, false);
        var sending = here.Transport.SendAsync(peer.Address, write, TimeSpan.FromSeconds(1), caller.Token).AsTask();
        await first.Task.WaitAsync(TestNode.Patience);

        if (byToken)
        {
            await caller.CancelAsync();
        }
        else
        {
            time.Advance(TimeSpan.FromMinutes(1));
        }

        await ((Task)sending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        gate.SetResult();
        await abandoned.Task.WaitAsync(TestNode.Patience);
        Assert.That(chunks, Is.LessThan(ValueBytes / LaneLimits.SentChunkBytes));
    }

    private static IEnumerable<TestCaseData> FalseProofs()
    {
        yield return Case("the dialler's own", proof => proof);
        yield return Case("of another secret", _ => Proof.ByListener("another"u8, RawLane.Hello(), RawLane.Hello()));
        yield return Case("none", _ => []);
        yield return Case("the beginning of one", proof => proof[..1]);

        static TestCaseData Case(string name, Func<byte[], byte[]> prove) => new TestCaseData(prove).SetArgDisplayNames(name);
    }

    /// <summary>Whoever answers at an address that nodes dial does not get a request, and so no key, without the secret.</summary>
    [TestCaseSource(nameof(FalseProofs))]
    public async Task Listener_WithoutTheSecret_IsAskedNothing(object prove)
    {
        var asked = 0;
        await using var here = TestNode.Create("here", secret: "a secret");
        await using var peer = await HostilePeer.StartAsync(
            id =>
            {
                asked++;
                return Reply(id, TestNode.Hit(default));
            },
            endsAfterwards: false,
            prove: (Func<byte[], byte[]>)prove);

        var fault = await here.Transport.SendAsync(peer.Address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Refused), $"{fault}");
        Assert.That(asked, Is.Zero);
    }

    /// <summary>The peer that is dialled shows the node its own Hello: as a dialler's, at the node's own port.</summary>
    [Test]
    public async Task NonceOfADialUnderWay_AtTheOwnPort_IsRefused()
    {
        await using var here = await TestNode.StartAsync("here");
        (GrpcStatus Status, string Message) end = default;
        await using var peer = await HostilePeer.StartAsync(
            id => Reply(id, TestNode.Hit(default)),
            endsAfterwards: false,
            onHello: async hello =>
            {
                using var back = new RawLane(here.Address, RawLane.Frame(hello));
                end = await back.ReadStatusAsync();
            });

        var reply = await here.Transport.SendAsync(peer.Address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(end.Status, Is.EqualTo(GrpcStatus.FailedPrecondition), end.Message);
        Assert.That(reply, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Self));
    }

    [Test]
    public async Task Lanes_ThatStandAndBreakAtOnce_DoNotWakeEachOtherWithoutEnd()
    {
        // The clock stands, so no rest ever ends. Each lane dials once for its request, and is woken once at most.
        const int MostGreetings = 6;
        var time = new ManualTime();
        await using var here = TestNode.Create("here", time: time);
        await using var peer = await HostilePeer.StartAsync(_ => [], endsAfterwards: true, leavesAtOnce: true);

        foreach (var request in SampleMessages.Requests().DistinctBy(request => request.Lane))
        {
            await here.Transport.SendAsync(peer.Address, request, TestNode.Patience, CancellationToken.None);
        }

        // Each dial has a timer, and its lane until it is broken: without one nothing is left that could wake.
        Assert.That(() => time.ActiveTimers == 0 || peer.Greetings > MostGreetings, Is.True.After(Patience.Milliseconds, 10), "it does not come to rest");
        Assert.That(peer.Greetings, Is.LessThanOrEqualTo(MostGreetings));
    }

    [Test]
    public async Task Bytes_OfAnyKindFromAStranger_NeverHurtTheNode([Values(1, 2)] int seed)
    {
        TestContext.Out.WriteLine($"seed {seed}");
        var random = new Random(seed);
        await using var node = await TestNode.StartAsync("node");
        var samples = SampleMessages.Requests().Select((request, i) => RawLane.Frame((uint)i, request)).Where(frame => frame.Length < 3_000).ToArray();
        for (var i = 0; i < 60; i++)
        {
            using var lane = new RawLane(node.Address, RawLane.Frame(RawLane.Hello(lane: (Lane)random.Next(3))));
            await lane.ReadAsync();
            var bytes = samples[random.Next(samples.Length)].Concat(samples[random.Next(samples.Length)]).ToArray();
            for (var changes = random.Next(1, 5); changes > 0; changes--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            await lane.WriteAsync(bytes[..random.Next(1, bytes.Length)]);
            lane.EndRequest();
            var (status, message) = await lane.ReadStatusAsync();
            Assert.That(status, Is.AnyOf(GrpcStatus.Ok, GrpcStatus.InvalidArgument, GrpcStatus.ResourceExhausted, GrpcStatus.FailedPrecondition), message);
        }

        await using var friend = TestNode.Create("friend");
        Assert.That(await friend.SendAsync(node, TestNode.Read("key")), Is.TypeOf<ReadReply>());
        Assert.That(() => node.Transport.ServedConnections, Is.EqualTo(1).After(Patience.Milliseconds, 20), "a connection is leaked");
    }

    private static byte[] Reply(uint id, PeerReply reply) => RawLane.Frame(buffer => MessageCodec.Encode(buffer, id, 1, reply));

    private sealed class HostilePeer(WebApplication web) : IAsyncDisposable
    {
        private int _greetings;

        public int Greetings => Volatile.Read(ref _greetings);

        public PeerAddress Address => new("127.0.0.1", new Uri(web.Urls.Single()).Port);

        public static async Task<HostilePeer> StartAsync(
            Func<uint, byte[]> reply, bool endsAfterwards, bool reflects = false, bool leavesAtOnce = false, Func<Hello, Task>? onHello = null, Func<byte[], byte[]>? prove = null, Func<MessageKind, Task>? onMessage = null)
        {
            var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
            builder.WebHost.UseKestrelCore()
                .ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
            var web = builder.Build();
            var peer = new HostilePeer(web);
            web.Run(async http =>
            {
                var reader = new FrameReader(http.Request.Body, 1 << 20);
                var hello = ControlCodec.ReadHello((await reader.ReadAsync(http.RequestAborted))!.Value);
                await (onHello?.Invoke(hello) ?? Task.CompletedTask);
                var nonce = reflects ? hello.Nonce : new byte[Hello.NonceBytes];
                http.Response.ContentType = GrpcProtocol.ContentType;
                await http.Response.Body.WriteAsync(RawLane.Frame(RawLane.Hello(lane: hello.Lane, hasSecret: prove is not null) with { Nonce = nonce }));
                Interlocked.Increment(ref peer._greetings);
                if (prove is not null)
                {
                    var proof = ControlCodec.ReadProof((await reader.ReadAsync(http.RequestAborted))!.Value).ToArray();
                    await http.Response.Body.WriteAsync(RawLane.Frame(buffer => ControlCodec.WriteProof(new MessagePackWriter(buffer), 1, prove(proof))));
                }

                while (!leavesAtOnce && await reader.ReadAsync(http.RequestAborted) is { } request)
                {
                    var head = ReadHead(request);
                    await (onMessage?.Invoke(head.Kind) ?? Task.CompletedTask);
                    await http.Response.Body.WriteAsync(reply(head.Id));
                    if (endsAfterwards)
                    {
                        return;
                    }
                }
            });
            await web.StartAsync();
            return peer;
        }

        public async ValueTask DisposeAsync()
        {
            using var now = new CancellationTokenSource(TimeSpan.FromSeconds(1));
            await web.StopAsync(now.Token);
            await web.DisposeAsync();
        }

        private static MessageHead ReadHead(ReadOnlyMemory<byte> request)
        {
            var fields = new MessagePackReader(request);
            return MessageHead.Read(ref fields);
        }
    }
}
