using DistCache.Wire;

namespace DistCache.Tests.Wire;

internal sealed class HealthCheckTests
{
    private TestNode _node = null!;

    [SetUp]
    public async Task StartNode() => _node = await TestNode.StartAsync("node");

    [TearDown]
    public async Task StopNode() => await _node.DisposeAsync();

    [TestCase("")]
    [TestCase("distcache.v1.Peer")]
    public async Task Service_OfTheNode_IsServing(string service)
    {
        using var call = Check(service);

        var reply = await call.ReadAsync();

        Assert.That(reply, Is.EqualTo(new byte[] { 0x08, 0x01 }));
        Assert.That((await call.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.Ok));
    }

    [Test]
    public async Task Service_ThatIsNotHere_IsNotFound()
    {
        using var call = Check("other");

        Assert.That((await call.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.NotFound));
    }

    [TestCase(new byte[] { 0x0A })]
    [TestCase(new byte[] { 0x0A, 0x05, 0x41 })]
    [TestCase(new byte[] { 0x12, 0x00 })]
    public async Task Request_ThatIsNotOne_IsRefused(byte[] request)
    {
        using var call = new RawLane(_node.Address, RawLane.Frame(request), GrpcProtocol.HealthCheckPath);

        Assert.That((await call.ReadStatusAsync()).Status, Is.EqualTo(GrpcStatus.InvalidArgument));
    }

    private RawLane Check(string service)
    {
        var name = System.Text.Encoding.UTF8.GetBytes(service);
        return new RawLane(
            _node.Address, RawLane.Frame(service.Length == 0 ? [] : [0x0A, (byte)name.Length, .. name]), GrpcProtocol.HealthCheckPath);
    }
}
