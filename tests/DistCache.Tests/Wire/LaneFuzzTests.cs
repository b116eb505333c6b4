using System.Net.Sockets;
using DistCache.Peers;
using DistCache.Tests.Membership;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>
/// Hostile lanes to a node that also serves a good neighbour. The node goes on, each refusal is counted, memory comes back, and the neighbour gets
/// every answer. DISTCACHE_FUZZ_INPUTS=1000000 for the long run, DISTCACHE_SEED=n to repeat one.
/// </summary>
internal sealed class LaneFuzzTests
{
    private const int Attackers = 4;
    private const int MessagesOfALane = 10;

    /// <summary>One in so many messages is spoiled: a lane ends at its first bad one.</summary>
    private const int SpoiledEvery = 4;

    private readonly LineLogger _log = new();
    private CountedMetrics _metrics = null!;
    private TestNode _node = null!;
    private Neighbour _neighbour = null!;
    private long _heapBefore;
    private int _seed;

    [SetUp]
    public async Task StartNodeAndNeighbour()
    {
        _seed = MessageFuzzer.NewSeed();
        TestContext.Out.WriteLine($"seed {_seed}");
        _metrics = new CountedMetrics();
        _node = await TestNode.StartAsync("node", logger: _log);
        _neighbour = await Neighbour.StartAsync(_node);
        _heapBefore = GC.GetTotalMemory(forceFullCollection: true);
    }

    [TearDown]
    public async Task NobodyIsLost()
    {
        var served = await _neighbour.StopAsync();
        TestContext.Out.WriteLine($"the neighbour was answered {served} times, slowest {_neighbour.Slowest.TotalMilliseconds:F0} ms");
        Assert.That(() => _node.Transport.ServedConnections, Is.Zero.After(Patience.Milliseconds, 20), "a connection is leaked");
        await _node.DisposeAsync();
        Assert.That(GC.GetTotalMemory(forceFullCollection: true) - _heapBefore, Is.LessThan(32 << 20), "memory is leaked");
        Assert.That(_log.Lines, Has.None.Contain(MessageFuzzer.Marker), "a key or a value is in the log");
        _metrics.Dispose();
    }

    /// <summary>Flipped, repeated, reordered, cut, lying about lengths; also good ones, so that lanes live for a while.</summary>
    [Test]
    public async Task Messages_ThatAreSpoiled_EndTheirLaneOnly()
    {
        var counts = await Task.WhenAll(Enumerable.Range(0, Attackers).Select(i => Task.Run(() => AttackAsync(_seed + i, MessageFuzzer.Inputs(15_000) / Attackers))));
        var (inputs, refused) = (counts.Sum(count => count.Inputs), counts.Sum(count => count.Refused));
        TestContext.Out.WriteLine($"{inputs} messages on {counts.Sum(count => count.Lanes)} lanes, {refused} lanes refused");
        string[] causes = ["malformed", "limit", "clock", "self", "cluster", "protocol", "secret", "silent"];
        Assert.That(() => causes.Sum(cause => _metrics[$"distcache.wire.lanes.refused/{cause}"]), Is.EqualTo(refused).After(Patience.Milliseconds, 20), "a refusal is not counted");
        Assert.That(refused, Is.Positive);
    }

    [Test]
    public async Task Handshakes_ThatNeverFinish_AreEndedInTime()
    {
        var hello = RawLane.Frame(RawLane.Hello());
        var lanes = Enumerable.Range(0, 40).Select(i => new RawLane(_node.Address, hello[..(i % hello.Length)])).ToArray();
        var sockets = Enumerable.Range(0, 40).Select(_ => new TcpClient(_node.Address.Host, _node.Address.Port)).ToArray();
        await Task.WhenAll(lanes.Where((_, i) => i % hello.Length > 0).Select(async lane =>
            Assert.That((await lane.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.ResourceExhausted))));

        Assert.That(() => _node.Transport.ServedConnections, Is.EqualTo(1).After(Patience.Milliseconds, 20), "only the neighbour's lane is left");

        Array.ForEach(lanes, lane => lane.Dispose());
        Array.ForEach(sockets, socket => socket.Dispose());
    }

    /// <summary>DISTCACHE_FUZZ_INPUTS of 1 000 000 sends a gigabyte in each of the ways, and fewer less.</summary>
    [Test]
    public async Task Bytes_WithoutEnd_CostNoMemory([Values] Flood flood)
    {
        var length = Math.Clamp((long)MessageFuzzer.Inputs(30_000) << 10, 0, 1 << 30);
        var peak = 0L;
        var sent = 0L;
        try
        {
            using var lane = new RawLane(_node.Address, flood == Flood.BeforeTheHandshake ? [0, 0, 0, 0xFF, 0xFF] : RawLane.Frame(RawLane.Hello(lane: Lane.Bulk)));
            if (flood != Flood.BeforeTheHandshake)
            {
                await lane.ReadAsync();
            }

            for (var block = MakeBlock(flood); sent < length; sent += block.Length)
            {
                await lane.WriteAsync(block).WaitAsync(TestNode.Patience);
                peak = Math.Max(peak, GC.GetTotalMemory(forceFullCollection: false) - _heapBefore);
            }
        }
        catch (Exception exception) when (exception is IOException or HttpRequestException or OperationCanceledException)
        {
            // Shown the door.
        }

        TestContext.Out.WriteLine($"{sent >> 20} MiB of {length >> 20} were taken, {peak >> 20} MiB more on the heap of both ends at the most");
        Assert.That(peak, Is.LessThan(160L << 20));
        Assert.That(sent, flood == Flood.AbandonedChunks ? Is.GreaterThanOrEqualTo(length) : Is.LessThan(8 << 20));
    }

    public enum Flood
    {
        BeforeTheHandshake,
        Garbage,
        AbandonedChunks,
    }

    private static byte[] MakeBlock(Flood flood)
    {
        const int PartBytes = 1 << 20;
        if (flood != Flood.AbandonedChunks)
        {
            return new byte[PartBytes].Select((_, i) => (byte)(i * 7)).ToArray();
        }

        // The first part of the longest message, and its end: each is good.
        var chunk = RawLane.Frame(buffer =>
        {
            ControlCodec.WriteChunkHead(new MessagePackWriter(buffer), 5, 1, WireLimits.MaximumMessageBytes, 0, PartBytes);
            buffer.Append(new byte[PartBytes]);
        });
        return [.. chunk, .. RawLane.Frame(buffer => ControlCodec.WriteEmpty(new MessagePackWriter(buffer), MessageKind.Abandon, 5, 1))];
    }

    private async Task<(int Inputs, int Lanes, int Refused)> AttackAsync(int seed, int inputs)
    {
        var fuzzer = new MessageFuzzer(seed);
        var samples = MessageFuzzer.Requests();
        var (sent, lanes, refused) = (0, 0, 0);
        while (sent < inputs)
        {
            lanes++;
            using var lane = new RawLane(_node.Address, RawLane.Frame(RawLane.Hello(lane: (Lane)fuzzer.Next(3))));
            await lane.ReadAsync();
            List<byte> bytes = [];
            for (var i = 0; i < MessagesOfALane; i++, sent++)
            {
                bytes.AddRange(RawLane.Frame(fuzzer.Next(SpoiledEvery) == 0 ? fuzzer.Spoil(samples) : fuzzer.Pick(samples)));
            }

            await SendAsync(lane, [.. bytes], fuzzer);
            var (status, message) = await lane.ReadStatusAsync();
            refused += status == GrpcStatus.Ok ? 0 : 1;
            Assert.That(status, Is.AnyOf(GrpcStatus.Ok, GrpcStatus.InvalidArgument, GrpcStatus.ResourceExhausted, GrpcStatus.FailedPrecondition), $"seed {seed}: {message}");
        }

        return (sent, lanes, refused);
    }

    /// <summary>Often cut off or with its prefixes spoiled too. The node may end the lane meanwhile.</summary>
    private static async Task SendAsync(RawLane lane, byte[] bytes, MessageFuzzer fuzzer)
    {
        if (fuzzer.Next(4) == 0)
        {
            bytes[fuzzer.Next(bytes.Length)] ^= 0x55;
        }

        try
        {
            await lane.WriteAsync(fuzzer.Next(4) == 0 ? bytes[..fuzzer.Next(bytes.Length)] : bytes);
        }
        catch (Exception exception) when (exception is IOException or HttpRequestException or ObjectDisposedException or OperationCanceledException)
        {
            // Its status tells why.
        }

        lane.EndRequest();
    }

    /// <summary>A good peer that asks one thing after another and checks each answer.</summary>
    private sealed class Neighbour
    {
        private readonly CancellationTokenSource _stop = new();
        private Task<int> _asking = null!;
        private TestNode _peer = null!;

        public TimeSpan Slowest { get; private set; }

        public static async Task<Neighbour> StartAsync(TestNode node)
        {
            var neighbour = new Neighbour { _peer = TestNode.Create("neighbour") };
            Assert.That(await neighbour._peer.SendAsync(node, TestNode.Read("first")), Is.TypeOf<ReadReply>());
            neighbour._asking = Task.Run(() => neighbour.AskAsync(node));
            return neighbour;
        }

        /// <summary>Gives how many answers it had.</summary>
        public async Task<int> StopAsync()
        {
            await _stop.CancelAsync();
            var answers = await _asking;
            await _peer.DisposeAsync();
            Assert.That(answers, Is.Positive);
            return answers;
        }

        private async Task<int> AskAsync(TestNode node)
        {
            var isBroken = false;
            _peer.Transport.Broken += _ => isBroken = true;
            var answers = 0;
            for (; !_stop.IsCancellationRequested; answers++)
            {
                var started = TimeProvider.System.GetTimestamp();
                var reply = await _peer.SendAsync(node, TestNode.Read($"key {answers}"));
                var elapsed = TimeProvider.System.GetElapsedTime(started);
                Slowest = elapsed > Slowest ? elapsed : Slowest;
                Assert.That(reply, Is.TypeOf<ReadReply>(), $"{reply}");
                Assert.That(((ReadReply)reply).Value.ToArray(), Is.EqualTo(SampleMessages.Bytes($"key {answers}").ToArray()));
                reply.Release();
            }

            Assert.That(isBroken, Is.False, "its lane was lost");
            return answers;
        }
    }
}
