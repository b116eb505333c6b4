using System.Buffers;
using System.Globalization;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Benchmarks.Peers;

/// <summary>
/// Sets of 1 KiB through one of three nodes, with one replica and all copies made before the acknowledgement, in turns with gets of keys
/// that this node does not own.
/// </summary>
internal static class SetNumbers
{
    private const int Keys = 10_000;
    private const int ValueBytes = 1_024;

    public static async Task RunAsync(Arguments arguments)
    {
        var rounds = arguments.Number("rounds", 3);
        var time = TimeSpan.FromSeconds(arguments.Number("seconds", 3));
        var ports = BenchmarkNode.FreePorts(3);
        using var second = BenchmarkNode.StartProcess(1, ports, replicas: 1, WriteAck.All);
        using var third = BenchmarkNode.StartProcess(2, ports, replicas: 1, WriteAck.All);
        using var node = await BenchmarkNode.StartAsync(0, ports, replicas: 1, WriteAck.All);
        await node.WaitForOwnersAsync(3);
        var keys = Enumerable.Range(0, Keys).Select(i => string.Create(CultureInfo.InvariantCulture, $"key:{i:D12}")).ToArray();
        var remote = keys.Where(key => !node.Cluster.View.OwnersOf(key).Contains("node-0")).ToArray();
        var value = new ReadOnlySequence<byte>(new byte[ValueBytes]);
        var options = new DistributedCacheEntryOptions();
        foreach (var key in keys)
        {
            await node.Cache.SetAsync(key, value, options);
        }

        for (var round = 1; round <= rounds; round++)
        {
            foreach (var callers in arguments.Number("callers", 0) is > 0 and var only ? new[] { only } : [1, 32, 256])
            {
                var buffers = Enumerable.Range(0, callers).Select(_ => new ArrayBufferWriter<byte>(ValueBytes)).ToArray();
                var get = await Callers.RunAsync(callers, time, (caller, i) =>
                {
                    buffers[caller].ResetWrittenCount();
                    return node.Cache.TryGetAsync(remote[((caller * 7_919) + i) % remote.Length], buffers[caller]);
                });
                var (before, beforeThird) = (second.Cost(), third.Cost());
                var set = await Callers.RunAsync(callers, time, (caller, i) =>
                    TrueAfterAsync(node.Cache.SetAsync(keys[((caller * 7_919) + i) % keys.Length], value, options)));
                var others = (second.Cost() - before) + (third.Cost() - beforeThird);
                Console.WriteLine(
                    $"round {round}, {callers,3} callers   {get.PerSecond,9:N0} gets/s   {set.PerSecond,9:N0} sets/s   p50 {set.P50,7:N1} µs   p99 {set.P99,8:N1} µs   {set.BytesPerOperation,5:N0} B/set here  {(double)others.Bytes / set.Count,5:N0} B/set there   {set.Cost.Processor * 1e6 / set.Count,5:N1} + {others.Processor * 1e6 / set.Count,5:N1} µs of a processor   {set.PerSecond / get.PerSecond:N2} × the gets");
            }
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private static async ValueTask<bool> TrueAfterAsync(ValueTask set)
    {
        await set;
        return true;
    }
}
