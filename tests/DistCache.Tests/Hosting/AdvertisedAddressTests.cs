using DistCache.Hosting;
using DistCache.Peers;

namespace DistCache.Tests.Hosting;

public sealed class AdvertisedAddressTests
{
    [Test]
    public void Advertise_WhereItIsSet_IsTaken() => Assert.That(
        AdvertisedAddress.Find(PeerAddress.Parse("10.1.2.3:1"), PeerAddress.Parse("0.0.0.0:7600"), []), Is.EqualTo(PeerAddress.Parse("10.1.2.3:1")));

    [Test]
    public void Listen_OnOneAddress_IsTaken() => Assert.That(
        AdvertisedAddress.Find(null, PeerAddress.Parse("10.1.2.3:7600"), []), Is.EqualTo(PeerAddress.Parse("10.1.2.3:7600")));

    [Test]
    public void Seeds_OnThisMachine_LeadToLoopback() => Assert.That(
        AdvertisedAddress.Find(null, PeerAddress.Parse("0.0.0.0:7600"), [PeerAddress.Parse("127.0.0.1:7601")]), Is.EqualTo(PeerAddress.Parse("127.0.0.1:7600")));

    [TestCase("not-there-yet.invalid:7600")]
    [TestCase(null)]
    public void Seeds_ThatCannotBeFound_DoNotLeadToLoopback(string? seed)
    {
        var hasInterface = System.Net.NetworkInformation.NetworkInterface.GetAllNetworkInterfaces().Any(network =>
            network.OperationalStatus == System.Net.NetworkInformation.OperationalStatus.Up
            && network.NetworkInterfaceType != System.Net.NetworkInformation.NetworkInterfaceType.Loopback
            && network.GetIPProperties().UnicastAddresses.Any(unicast => unicast.Address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork));
        Assume.That(hasInterface, "This machine has no interface but loopback.");
        var advertised = AdvertisedAddress.Find(null, PeerAddress.Parse("0.0.0.0:7600"), seed is null ? [] : [PeerAddress.Parse(seed)]);
        Assert.That(advertised.Host, Is.Not.EqualTo("127.0.0.1"));
    }
}
