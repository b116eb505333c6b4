using System.Globalization;
using DistCache.Diagnostics;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Tests.Membership;

/// <summary>What the shell stands: many threads at once, and defects inside of it.</summary>
[CancelAfter(Patience.Milliseconds)]
public sealed class GossipLoopFaultTests
{
    private const int Messengers = 3;
    private const int MessagesEach = 10_000;
    private const int Ticks = 3_000;

    private static readonly string[] Addresses = ["a:1", "b:1", "c:1", "d:1"];

    [Test]
    public async Task Tick_UnexpectedException_IsLoggedOnceAndTheLoopGoesOn()
    {
        await using var network = new MemoryNetwork();
        var random = new FaultyRandom();
        var log = new LineLogger();
        var node = network.Add("a:1", Addresses, random: random, logger: log);
        var other = network.Add("b:1", Addresses);
        await Task.WhenAll(node.Loop.JoinAsync(CancellationToken.None), other.Loop.JoinAsync(CancellationToken.None));
        network.Time.Advance(TimeSpan.FromSeconds(5));

        random.IsFaulty = true;
        network.Time.Advance(TimeSpan.FromSeconds(30));
        random.IsFaulty = false;
        Assert.That(log.Lines.Count(line => line.Contains("unexpected exception", StringComparison.Ordinal)), Is.EqualTo(1), string.Join('\n', log.Lines));

        network.Silent.Add(other.Address);
        network.Time.Advance(TimeSpan.FromSeconds(40));
        Assert.That(node.StateOf(other), Is.EqualTo(MemberState.Dead), "it still looks after the others");
    }

    [Test]
    public async Task Tick_LogThatThrows_DoesNotEndTheLoop()
    {
        await using var network = new MemoryNetwork();
        var node = network.Add("a:1", Addresses, logger: new SafeLogger(new FaultyLogger()));
        var other = network.Add("b:1", Addresses);
        _ = node.Loop.JoinAsync(CancellationToken.None);
        _ = other.Loop.JoinAsync(CancellationToken.None);
        network.Time.Advance(TimeSpan.FromSeconds(5));

        network.Silent.Add(other.Address);
        network.Time.Advance(TimeSpan.FromSeconds(40));

        Assert.That(node.StateOf(other), Is.EqualTo(MemberState.Dead));
    }

    [Test]
    public async Task Loop_MessagesTicksAndStopOnManyThreads_ViewsComeInOrderAndNothingAfterTheStop()
    {
        var seed = TestContext.CurrentContext.Random.Next();
        TestContext.Out.WriteLine($"Seed {seed}.");
        await using var network = new MemoryNetwork { IsConcurrent = true };
        var log = new LineLogger();
        var nodes = Addresses.Select(address => network.Add(address, Addresses, logger: log)).ToArray();
        var watch = new ViewWatch(nodes[0].Loop);
        await Task.WhenAll(nodes.Select(node => Task.Run(() => node.Loop.JoinAsync(CancellationToken.None))));

        var clock = Task.Run(() => TickAsync(network, nodes));
        await WithTimersAsync(network, Task.WhenAll(Enumerable.Range(0, Messengers).Select(messenger => Task.Run(() => SendAsync(nodes, new Random(seed + messenger), MessagesEach))).Append(clock)));

        // Now the stop, in the middle of messages.
        var messages = Enumerable.Range(0, Messengers).Select(messenger => Task.Run(() => SendAsync(nodes, new Random(seed - messenger), MessagesEach / 4))).ToArray();
        await Task.WhenAll(nodes.Select(node => Task.Run(async () => await node.Loop.DisposeAsync())));
        var seen = nodes[0].Loop.View;
        await WithTimersAsync(network, Task.WhenAll(messages));
        network.Time.Advance(TimeSpan.FromSeconds(10));

        Assert.Multiple(() =>
        {
            Assert.That(watch.Faults, Is.Empty);
            Assert.That(watch.Count, Is.GreaterThan(1));
            Assert.That(nodes[0].Loop.View, Is.SameAs(seen), "nothing changes after the stop");
            Assert.That(log.Lines.Where(line => line.Contains("unexpected", StringComparison.Ordinal)), Is.Empty);
            Assert.That(network.Time.ActiveTimers, Is.Zero, "no timer is left");
        });
    }

    /// <summary>Those who wait for an exchange go on by a timer that is due at once: somebody must let it ring.</summary>
    private static async Task WithTimersAsync(MemoryNetwork network, Task work)
    {
        using var patience = new CancellationTokenSource(Patience.Time);
        while (!work.IsCompleted)
        {
            patience.Token.ThrowIfCancellationRequested();
            network.Time.Advance(TimeSpan.Zero);
            await Task.Yield();
        }

        await work;
    }

    private static async Task TickAsync(MemoryNetwork network, MemoryNode[] nodes)
    {
        for (var tick = 0; tick < Ticks; tick++)
        {
            network.Time.Advance(TimeSpan.FromMilliseconds(20));
            if (tick == Ticks / 2)
            {
                await nodes[^1].Loop.LeaveAsync(CancellationToken.None);
            }
        }
    }

    /// <summary>Messages of every kind, from members and strangers, with what may be said about anybody.</summary>
    private static async Task SendAsync(MemoryNode[] nodes, Random random, int count)
    {
        for (var i = 0; i < count; i++)
        {
            var node = nodes[random.Next(nodes.Length)];
            var other = nodes[random.Next(nodes.Length)];
            MemberRecord[] records = [RecordOf(other.Loop.Self, random), RecordOf(Stranger(random), random)];
            var from = random.Next(4) == 0 ? Stranger(random) : other.Loop.Self;
            PeerRequest request = random.Next(4) switch
            {
                0 => new ProbeRequest(node.Loop.Self, records),
                1 => new GossipRequest(records),
                2 => new ExchangeRequest(records),
                _ => new IndirectProbeRequest(other.Loop.Self, other.Address, records),
            };
            Assert.That(await node.Loop.HandleAsync(from, request, CancellationToken.None), Is.Not.Null);
            node.Loop.Heard(other.Loop.Self.Name);
            if (random.Next(20) == 0)
            {
                await node.Loop.ExchangeAsync(other.Address, CancellationToken.None);
            }
        }
    }

    private static NodeIdentity Stranger(Random random) =>
        new(NodeName.Parse(string.Create(CultureInfo.InvariantCulture, $"stranger-{random.Next(20)}")), 1_000 + random.Next(5));

    private static MemberRecord RecordOf(NodeIdentity identity, Random random) => new(
        identity, (uint)random.Next(3), (MemberState)random.Next(5), PeerAddress.Parse($"{identity.Name.ToString().Split(':')[0]}:1"), "", 1);

    /// <summary>Notes views that come two at once or out of order.</summary>
    private sealed class ViewWatch
    {
        private readonly GossipLoop _loop;
        private int _running;
        private uint _refutation;
        private long _incarnation;

        public ViewWatch(GossipLoop loop)
        {
            _loop = loop;
            loop.ViewChanged += Take;
        }

        public List<string> Faults { get; } = [];

        public int Count { get; private set; }

        private void Take(MembershipView view)
        {
            if (Interlocked.Increment(ref _running) != 1)
            {
                Faults.Add("two at once");
            }

            var self = view.Self.Record;
            if (self.Identity.Incarnation < _incarnation || (self.Identity.Incarnation == _incarnation && self.Refutation < _refutation))
            {
                Faults.Add($"{self} after incarnation {_incarnation}, refutation {_refutation}");
            }

            (_incarnation, _refutation) = (self.Identity.Incarnation, self.Refutation);
            Count++;
            Interlocked.Decrement(ref _running);
        }
    }

    private sealed class FaultyRandom() : Random(1)
    {
        public bool IsFaulty { get; set; }

        public override int Next(int maxValue) => IsFaulty ? throw new InvalidOperationException("A defect.") : base.Next(maxValue);

        public override long NextInt64(long maxValue) => IsFaulty ? throw new InvalidOperationException("A defect.") : base.NextInt64(maxValue);
    }
}
