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
}
