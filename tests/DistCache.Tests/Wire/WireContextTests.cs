using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests.Wire;

public sealed class WireContextTests
{
    [TestCase(true)]
    [TestCase(false)]
    public void Clock_OfAStranger_IsNotMergedBeforeItsProof(bool hasSecret)
    {
        var time = new ManualTime();
        var clock = new HybridClock(time);
        var ahead = (ulong)time.GetUtcNow().AddHours(23).ToUnixTimeMilliseconds() << HybridClock.CounterBits;
        var self = new NodeIdentity(NodeName.Parse("self"), 1);
        var context = new WireContext(new WireSettings("shop") { Secret = new byte[16] }, () => self, clock, null!, time, NullLogger.Instance);
        var hello = new Hello(WireLimits.ProtocolVersion, "shop", self, new byte[Hello.NonceBytes], ahead, Lane.Data, hasSecret);
        if (hasSecret)
        {
            context.Check(hello);
        }
        else
        {
            Assert.That(() => context.Check(hello), Throws.InstanceOf<RefusalException>());
        }

        Assert.That(clock.Current, Is.LessThan(ahead));
    }

    [TestCase(null)]
    [TestCase("a secret of more than 16 characters")]
    public async Task Clock_OfAListenerThatIsFarAhead_IsRefusedByTheDialler(string? secret)
    {
        await using var ahead = await TestNode.StartAsync("ahead", secret: secret, clockTime: new ManualTime(DateTimeOffset.UtcNow.AddHours(25)));
        await using var dialler = TestNode.Create("dialler", secret: secret);
        var before = dialler.Clock.Current;
        var isAsked = false;
        ahead.OnRequest = (_, request, _) =>
        {
            isAsked = true;
            return ValueTask.FromResult(TestNode.Echo(request));
        };

        var reply = await dialler.Transport.SendAsync(ahead.Address, TestNode.Read("key"), TestNode.Patience, default);

        Assert.That(reply, Is.InstanceOf<PeerFault>().With.Property(nameof(PeerFault.Kind)).EqualTo(FaultKind.Refused));
        Assert.That(((PeerFault)reply).Reason, Does.Contain("24 hours"));
        Assert.That(isAsked, Is.False, "the lane was taken for a good one");
        Assert.That(dialler.Clock.IsTooFarAhead(dialler.Clock.Current), Is.False);
        Assert.That(dialler.Clock.Current - before, Is.LessThan(60_000UL << HybridClock.CounterBits), "its clock was not moved");
    }
}
