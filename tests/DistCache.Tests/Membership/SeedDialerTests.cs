using DistCache.Membership;
using DistCache.Peers;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests.Membership;

public sealed class SeedDialerTests
{
    [Test]
    public async Task ASeedThatOnceLedToThisNodeItself_IsDialledAgainNowAndThen()
    {
        // The virtual address of a service leads to any of its nodes, now to this one and then to another.
        var virtualAddress = new PeerAddress("10.96.0.10", 7_600);
        var dialer = new SeedDialer(new StaticSeeds([virtualAddress]), NullLogger.Instance);
        dialer.IsNobodyThere(virtualAddress, new PeerFault(FaultKind.Self, "this node itself"));
        var dials = new List<int>();
        for (var i = 0; i < 6; i++)
        {
            dials.Add((await dialer.ResolveAsync(default)).Addresses.Count);
        }

        Assert.That(dials, Has.Some.EqualTo(1).And.Some.EqualTo(0));
    }

    [Test]
    public void Seed_FailsNowThisWayAndNowThat_LoggedOnceUntilItAnswers()
    {
        var seed = new PeerAddress("10.0.0.1", 7_600);
        var log = new LineLogger();
        var dialer = new SeedDialer(new StaticSeeds([seed]), log);
        for (var dial = 0; dial < 4; dial++)
        {
            dialer.IsNobodyThere(seed, new PeerFault(dial % 2 == 0 ? FaultKind.NotListening : FaultKind.TimedOut, $"Reason {dial}."));
        }

        Assert.That(log.Lines, Has.Length.EqualTo(1));
        dialer.IsNobodyThere(seed, new ProbeReply([]));
        dialer.IsNobodyThere(seed, new ProbeReply([]));
        Assert.That(log.Lines, Has.Length.EqualTo(2));
        dialer.IsNobodyThere(seed, PeerFault.TimedOut);
        Assert.That(log.Lines, Has.Length.EqualTo(3));
    }

    /// <summary>Addresses come and go for years; one that comes back is told of anew.</summary>
    [Test]
    public async Task Seed_ThatIsNoneAnyMore_IsForgotten()
    {
        var seed = new PeerAddress("10.0.0.1", 7_600);
        var own = new PeerAddress("10.0.0.2", 7_600);
        var source = new ChangingSeeds { List = new SeedList([seed, own], IsComplete: true) };
        var log = new LineLogger();
        var dialer = new SeedDialer(source, log);
        await dialer.ResolveAsync(default);
        Fail();
        Assert.That(log.Lines, Has.Length.EqualTo(1));

        source.List = new SeedList([], IsComplete: false);
        await dialer.ResolveAsync(default);
        source.List = new SeedList([seed, own], IsComplete: true);
        Assert.That((await dialer.ResolveAsync(default)).Addresses, Has.Count.EqualTo(2), "each third time all are dialled");
        Fail();
        Assert.That(log.Lines, Has.Length.EqualTo(1), "the list was not to be had, so nothing was known of it");
        Assert.That((await dialer.ResolveAsync(default)).Addresses, Is.EqualTo(new[] { seed }));

        source.List = new SeedList([], IsComplete: true);
        await dialer.ResolveAsync(default);
        source.List = new SeedList([seed, own], IsComplete: true);
        await dialer.ResolveAsync(default);
        Assert.That((await dialer.ResolveAsync(default)).Addresses, Has.Count.EqualTo(2));
        Fail();
        Assert.That(log.Lines, Has.Length.EqualTo(2));

        void Fail()
        {
            dialer.IsNobodyThere(seed, PeerFault.TimedOut);
            dialer.IsNobodyThere(own, new PeerFault(FaultKind.Self, "this node itself"));
        }
    }

    private sealed class ChangingSeeds : ISeedSource
    {
        public required SeedList List { get; set; }

        public bool HasChanged => false;

        public ValueTask<SeedList> ResolveAsync(CancellationToken cancellationToken) => ValueTask.FromResult(List);
    }
}
