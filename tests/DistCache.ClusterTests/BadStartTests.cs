using System.Net;
using System.Net.Sockets;

namespace DistCache.ClusterTests;

/// <summary>A node that cannot be what it was told to be ends at once, and says why in one message.</summary>
internal sealed class BadStartTests
{
    [Test]
    public async Task PortInUse_EndsTheProcessWithOneMessage()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        var address = $"127.0.0.1:{((IPEndPoint)other.LocalEndpoint).Port}";

        var (exitCode, errors) = await RunAsync($"--DistCache:Cluster:Listen={address}");

        Assert.That(exitCode, Is.Not.Zero);
        var fatal = errors.Where(line => line.Contains("FATAL")).ToArray();
        Assert.That(fatal, Has.Length.EqualTo(1), string.Join('\n', errors));
        Assert.That(fatal[0], Does.Contain(address).And.Contains("in use").IgnoreCase);
    }

    [TestCase("Replication:ReplicaCount", "9", "Replication.ReplicaCount is 9; it must be from 0 to 7.")]
    [TestCase("Replication:Timeout", "00:00:00.001", "Replication.Timeout is 00:00:00.0010000; it must be from 00:00:00.0100000 to 00:01:00.")]
    [TestCase("Memory:SizeLimit", "0", "Memory.SizeLimit is 0; it must be from 524288 to 137438953472.")]
    [TestCase("Cluster:Listen", "nowhere", "Cluster.Listen is \"nowhere\"; it must be host:port")]
    [TestCase("Cluster:Seeds:0", "127.0.0.1:7600", "Cluster.Seeds has entries but Cluster.Listen is not set")]
    public async Task InvalidOption_EndsTheProcessWithPropertyValueAndBound(string option, string value, string message)
    {
        var (exitCode, errors) = await RunAsync($"--DistCache:{option}={value}");

        Assert.That(exitCode, Is.Not.Zero);
        var fatal = errors.Where(line => line.Contains("FATAL")).ToArray();
        Assert.That(fatal, Has.Length.EqualTo(1), string.Join('\n', errors));
        Assert.That(fatal[0], Does.Contain(message));
    }

    private static async Task<(int ExitCode, string[] Errors)> RunAsync(params string[] configuration)
    {
        await using var node = NodeProcess.Start(NodeHost.ConsoleRole, configuration);
        var exitCode = await node.WaitForExitAsync();
        return (exitCode, node.Errors.Split(Environment.NewLine));
    }
}
