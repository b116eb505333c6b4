using DistCache.Peers;

namespace DistCache.Tests.Peers;

internal sealed class PeerAddressTests
{
    [TestCase("localhost:7600", "localhost", 7600)]
    [TestCase("10.0.0.5:1", "10.0.0.5", 1)]
    [TestCase("shop-0.shop.default.svc.cluster.local:65535", "shop-0.shop.default.svc.cluster.local", 65535)]
    [TestCase("my_host:0", "my_host", 0)]
    [TestCase("[::1]:7600", "::1", 7600)]
    [TestCase("[2001:db8::17]:7600", "2001:db8::17", 7600)]
    [TestCase("[fe80::1%2]:7600", "fe80::1%2", 7600)]
    [TestCase("bücher.example:80", "bücher.example", 80)]
    public void TryParse_Address_IsHostAndPort(string text, string host, int port)
    {
        Assert.That(PeerAddress.TryParse(text, out var address), Is.True);
        Assert.That(address, Is.EqualTo(new PeerAddress(host, port)));
        Assert.That(address.ToString(), Is.EqualTo(text));
    }

    [TestCase(null)]
    [TestCase("")]
    [TestCase("localhost", Description = "no port")]
    [TestCase("localhost:")]
    [TestCase(":7600", Description = "no host")]
    [TestCase("[]:7600")]
    [TestCase("host:65536")]
    [TestCase("host:-1")]
    [TestCase("host:+1")]
    [TestCase("host: 1")]
    [TestCase("host:1 ")]
    [TestCase("host:0x50")]
    [TestCase("host:99999999999999999999")]
    [TestCase("::1:7600", Description = "an IPv6 address without its brackets")]
    [TestCase("2001:db8::17")]
    [TestCase("[::1]", Description = "brackets and no port")]
    [TestCase("[::1]7600")]
    [TestCase("[::1:7600")]
    [TestCase("::1]:7600")]
    [TestCase("[[::1]]:7600")]
    [TestCase("[localhost]:7600", Description = "brackets are for IPv6")]
    [TestCase("[10.0.0.1]:7600", Description = "brackets are for IPv6")]
    [TestCase("[1:2]:7600", Description = "not an address")]
    [TestCase("http://localhost:7600")]
    [TestCase("localhost/path:7600")]
    [TestCase("user@localhost:7600")]
    [TestCase("local host:7600")]
    [TestCase(" localhost:7600")]
    [TestCase("local\thost:7600")]
    [TestCase("localhost\n:7600")]
    [TestCase("a,b:7600", Description = "a list")]
    public void TryParse_Malformed_IsRefused(string? text) => Assert.That(PeerAddress.TryParse(text, out _), Is.False);

    [TestCase(PeerAddress.MaximumHostLength, true)]
    [TestCase(PeerAddress.MaximumHostLength + 1, false)]
    public void TryParse_HostAtTheLimit_IsTakenAndNoLonger(int length, bool isValid) =>
        Assert.That(PeerAddress.TryParse(new string('h', length) + ":1", out _), Is.EqualTo(isValid));

    [Test]
    public void Parse_Malformed_SaysWhatWasGotAndWhatIsExpected() =>
        Assert.That(
            () => PeerAddress.Parse("::1:7600"),
            Throws.TypeOf<FormatException>().With.Message.Contains("\"::1:7600\"").And.Message.Contains("host:port"));

    [Test]
    public void ToString_OfDefault_DoesNotThrow() => Assert.That(default(PeerAddress).ToString(), Is.EqualTo(":0"));
}
