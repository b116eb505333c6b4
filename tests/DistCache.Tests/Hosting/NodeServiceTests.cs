using System.Buffers;
using DistCache.Entries;
using DistCache.Hosting;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace DistCache.Tests.Hosting;

[CancelAfter(Patience.Milliseconds)]
public sealed class NodeServiceTests
{
    /// <summary>What is left of the host's time is for what stops besides.</summary>
    [TestCase(4, 1_000)]
    [TestCase(3_600, 9_000)]
    [TestCase(-1, 9_000)]
    public async Task Stop_WhereACallerNeverTakesItsResult_WaitsForAQuarterOfTheHostsTime(int allowedSeconds, int waitsMilliseconds, CancellationToken token)
    {
        var time = new ManualTime();
        var options = new DistCacheOptions { Cluster = { Listen = "127.0.0.1:0" } };
        await using var node = new Node(Options.Create(options), time);
        var allowed = allowedSeconds < 0 ? Timeout.InfiniteTimeSpan : TimeSpan.FromSeconds(allowedSeconds);
        var service = new NodeService(node, Options.Create(new HostOptions { ShutdownTimeout = allowed }));
        await service.StartingAsync(token);
        node.Replicator.Writes.Begin("key"u8, remove: false, RemainingTime.Unlimited, new ReadOnlySequence<byte>([1]), default);

        var stopped = service.StoppedAsync(token);
        time.Advance(TimeSpan.FromMilliseconds(waitsMilliseconds - 10));
        Assert.That(stopped.IsCompleted, Is.False);

        time.Advance(TimeSpan.FromMilliseconds(10));
        await stopped.WaitAsync(token);
    }
}
