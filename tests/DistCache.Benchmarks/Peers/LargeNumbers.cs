using System.Buffers;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Benchmarks.Peers;

/// <summary>What small gets feel of values of 64 MiB that are set and got between the same two nodes, in turns with none moving.</summary>
internal static class LargeNumbers
{
    private const int LargeBytes = 64 << 20;
    private const int SmallBytes = 1_024;

    public static async Task RunAsync(Arguments arguments)
    {
        var rounds = arguments.Number("rounds", 3);
        var time = TimeSpan.FromSeconds(arguments.Number("seconds", 3));
        var callers = arguments.Number("callers", 8);
        var ports = BenchmarkNode.FreePorts(2);
        using var other = BenchmarkNode.StartProcess(1, ports, replicas: 0, WriteAck.Majority);
        using var node = await BenchmarkNode.StartAsync(0, ports, replicas: 0, WriteAck.Majority);
        await node.WaitForOwnersAsync(2);
        var keys = await GetNumbers.FillAsync(node);
        var large = Enumerable.Range(0, int.MaxValue).Select(i => $"large:{i}").First(key => node.Cluster.View.OwnersOf(key)[0] == "node-1");
        for (var round = 1; round <= rounds; round++)
        {
            var without = await GetAsync(node, keys, callers, time);
            using var stop = new CancellationTokenSource();
            var moving = Task.Run(() => MoveAsync(node, large, stop.Token));
            var with = await GetAsync(node, keys, callers, time);
            await stop.CancelAsync();
            var moved = await moving;
            Console.WriteLine(
                $"round {round}, {callers} callers   without {without.PerSecond,9:N0} gets/s  p50 {without.P50,6:N1}  p99 {without.P99,7:N1} µs   while {moved.Count} × 64 MiB moved at {moved.Bytes / time.TotalSeconds / 1e6:N0} MB/s   {with.PerSecond,9:N0} gets/s  p50 {with.P50,6:N1}  p99 {with.P99,7:N1} µs   p99 {with.P99 / without.P99:N2} ×");
        }

        Console.WriteLine($"resident here {Measure.ResidentBytes() >> 20} MiB");
    }

    private static async Task<(int Count, double Bytes)> MoveAsync(BenchmarkNode node, string key, CancellationToken stop)
    {
        // Both are the application's: what making them anew would cost is not the cache's doing.
        var value = new byte[LargeBytes];
        var destination = new ArrayBufferWriter<byte>(LargeBytes);
        var count = 0;
        while (!stop.IsCancellationRequested)
        {
            await node.Cache.SetAsync(key, value, new DistributedCacheEntryOptions(), CancellationToken.None);
            destination.ResetWrittenCount();
            if (!await node.Cache.TryGetAsync(key, destination, CancellationToken.None))
            {
                throw new InvalidOperationException("A miss of the large value.");
            }

            count += 2;
        }

        return (count, (double)count * LargeBytes);
    }

    private static Task<CallersResult> GetAsync(BenchmarkNode node, string[] keys, int callers, TimeSpan time)
    {
        var buffers = Enumerable.Range(0, callers).Select(_ => new ArrayBufferWriter<byte>(SmallBytes)).ToArray();
        return Callers.RunAsync(callers, time, (caller, i) =>
        {
            buffers[caller].ResetWrittenCount();
            return node.Cache.TryGetAsync(keys[((caller * 7_919) + i) % keys.Length], buffers[caller]);
        });
    }
}
