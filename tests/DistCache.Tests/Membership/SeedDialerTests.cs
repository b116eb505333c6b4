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
}
