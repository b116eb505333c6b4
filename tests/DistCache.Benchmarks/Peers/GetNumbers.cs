using System.Buffers;
using System.Globalization;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Benchmarks.Peers;

/// <summary>
/// Gets of 1 KiB through the public cache of a node that owns none of the keys, beside redis-benchmark and a plain client of Redis, in
/// turns, several rounds.
/// </summary>
internal static class GetNumbers
{
    private const int Keys = 10_000;
    private const int ValueBytes = 1_024;

    public static async Task RunAsync(Arguments arguments)
    {
        var rounds = arguments.Number("rounds", 3);
        var time = TimeSpan.FromSeconds(arguments.Number("seconds", 3));
        var callers = arguments.Text("callers", "1,32,256").Split(',').Select(text => int.Parse(text, CultureInfo.InvariantCulture)).ToArray();
        var ports = BenchmarkNode.FreePorts(2);
        using var other = BenchmarkNode.StartProcess(1, ports, replicas: 0, WriteAck.Majority);
        using var node = await BenchmarkNode.StartAsync(0, ports, replicas: 0, WriteAck.Majority);
        using var redis = arguments.Text("beside", "redis") == "redis" ? RedisSide.TryStart() : null;
        await node.WaitForOwnersAsync(2);
        var keys = await FillAsync(node);
        for (var round = 1; round <= rounds; round++)
        {
            await RunRoundAsync(round, node.Cache, other, keys, time, callers, redis);
        }
    }

    /// <summary>Keys that the other node owns, with a value of 1 KiB each.</summary>
    public static async Task<string[]> FillAsync(BenchmarkNode node)
    {
        var keys = Enumerable.Range(0, int.MaxValue)
            .Select(i => string.Create(CultureInfo.InvariantCulture, $"key:{i:D12}"))
            .Where(key => node.Cluster.View.OwnersOf(key)[0] == "node-1")
            .Take(Keys)
            .ToArray();
        foreach (var key in keys)
        {
            await node.Cache.SetAsync(key, new byte[ValueBytes], new DistributedCacheEntryOptions());
        }

        return keys;
    }

    private static async Task RunRoundAsync(int round, IBufferDistributedCache cache, OtherNode other, string[] keys, TimeSpan time, int[] callerCounts, RedisSide? redis)
    {
        var benchmark = redis?.Benchmark(clients: 32, requests: 200_000);
        var plain = redis?.PlainClientP50(20_000);
        Console.WriteLine($"round {round}");
        Console.WriteLine(benchmark is null ? "  without redis-server" : $"  redis-benchmark -c 32      {benchmark,12:N0} gets/s");
        if (plain is not null)
        {
            Console.WriteLine($"  plain client, one caller   {1e6 / plain,12:N0} gets/s   p50 {plain,8:N1} µs");
        }

        foreach (var callers in callerCounts)
        {
            var buffers = Enumerable.Range(0, callers).Select(_ => new ArrayBufferWriter<byte>(ValueBytes)).ToArray();
            var before = other.Cost();
            var result = await Callers.RunAsync(callers, time, (caller, i) =>
            {
                buffers[caller].ResetWrittenCount();
                return cache.TryGetAsync(keys[((caller * 7_919) + i) % keys.Length], buffers[caller]);
            });
            var there = other.Cost() - before;
            var ratio = callers == 32 && benchmark is not null ? $"   {result.PerSecond / benchmark:N2} × redis-benchmark"
                : callers == 1 && plain is not null ? $"   p50 {result.P50 / plain:N2} × the plain client's"
                : "";
            Console.WriteLine(
                $"  DistCache, {callers,3} callers     {result.PerSecond,12:N0} gets/s   p50 {result.P50,8:N1} µs   p99 {result.P99,8:N1} µs{ratio}");
            Console.WriteLine(
                $"    a get allocates {result.BytesPerOperation:N0} B here, {(double)there.Bytes / result.Count:N0} B at the owner; takes {1e6 * result.Cost.Processor / result.Count:N2} µs of a processor here, {1e6 * there.Processor / result.Count:N2} µs there");
        }
    }
}
