using System.Diagnostics;
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

    /// <summary>The witness that is not ours. Its packages come with <c>npm ci</c> in tests/grpc-js.</summary>
    [Test]
    public async Task Node_AskedByGrpcJs_IsServing()
    {
        var script = Path.Combine(ScriptFolder(), "health-check.mjs");
        if (!Directory.Exists(Path.Combine(ScriptFolder(), "node_modules")))
        {
            Assert.Ignore("The packages of tests/grpc-js are not installed: run `npm ci --ignore-scripts` there.");
        }

        using var process = new Process { StartInfo = new ProcessStartInfo("node", [script, $"{_node.Address}"]) { RedirectStandardOutput = true, RedirectStandardError = true } };
        try
        {
            process.Start();
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Ignore("Node.js is not on the path.");
        }

        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var output = process.StandardOutput.ReadToEndAsync(patience.Token);
        var errors = process.StandardError.ReadToEndAsync(patience.Token);
        await process.WaitForExitAsync(patience.Token);

        Assert.That(await output, Does.StartWith("Check \"\": SERVING"), await errors);
        Assert.That(process.ExitCode, Is.Zero, await output);
    }

    private static string ScriptFolder()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "DistCache.sln")))
        {
            folder = folder.Parent;
        }

        Assert.That(folder, Is.Not.Null, "the tests do not run inside the repository");
        return Path.Combine(folder!.FullName, "tests", "grpc-js");
    }

    private RawLane Check(string service)
    {
        var name = System.Text.Encoding.UTF8.GetBytes(service);
        return new RawLane(
            _node.Address, RawLane.Frame(service.Length == 0 ? [] : [0x0A, (byte)name.Length, .. name]), GrpcProtocol.HealthCheckPath);
    }
}
