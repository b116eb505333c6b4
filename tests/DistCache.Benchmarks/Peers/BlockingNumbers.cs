using System.Buffers;
using System.Diagnostics;

namespace DistCache.Benchmarks.Peers;

/// <summary>500 callers that block threads, beside as many that await, with threads enough in the pool.</summary>
internal static class BlockingNumbers
{
    private const int ValueBytes = 1_024;

    public static async Task RunAsync(Arguments arguments)
    {
        var rounds = arguments.Number("rounds", 3);
        var time = TimeSpan.FromSeconds(arguments.Number("seconds", 3));
        var callers = arguments.Number("callers", 500);
        ThreadPool.SetMinThreads(callers + 100, callers + 100);
        var ports = BenchmarkNode.FreePorts(2);
        using var other = BenchmarkNode.StartProcess(1, ports, replicas: 0, WriteAck.Majority);
        using var node = await BenchmarkNode.StartAsync(0, ports, replicas: 0, WriteAck.Majority);
        await node.WaitForOwnersAsync(2);
        var keys = await GetNumbers.FillAsync(node);
        var buffers = Enumerable.Range(0, callers).Select(_ => new ArrayBufferWriter<byte>(ValueBytes)).ToArray();
        foreach (var pairs in new[] { 1, callers / 2 })
        {
            var wakes = await Task.WhenAll(Enumerable.Range(0, pairs).Select(_ => Task.Run(() => WakesPerSecond(time))));
            Console.WriteLine($"bare: {2 * pairs} threads that wake each other in pairs, by a monitor, {wakes.Sum():N0} wakes/s");
        }

        for (var round = 1; round <= rounds; round++)
        {
            var awaiting = await Callers.RunAsync(callers, time, (caller, i) => node.Cache.TryGetAsync(Next(caller, i), buffers[caller]));
            var blocking = await Callers.RunAsync(callers, time, (caller, i) => new ValueTask<bool>(node.Cache.TryGet(Next(caller, i), buffers[caller])));
            Console.WriteLine(
                $"round {round}, {callers} callers   awaiting {awaiting.PerSecond,9:N0} gets/s  p99 {awaiting.P99,8:N1} µs   blocking {blocking.PerSecond,9:N0} gets/s  p99 {blocking.P99,8:N1} µs   {blocking.PerSecond / awaiting.PerSecond:N2} ×");
        }

        string Next(int caller, int i)
        {
            buffers[caller].ResetWrittenCount();
            return keys[((caller * 7_919) + i) % keys.Length];
        }
    }

    /// <summary>What waking a sleeping thread takes at the least: two of them in turns.</summary>
    private static double WakesPerSecond(TimeSpan time)
    {
        var gate = new object();
        var turn = 0;
        var wakes = 0L;
        var clock = Stopwatch.StartNew();
        var threads = Enumerable.Range(0, 2).Select(own => new Thread(() =>
        {
            lock (gate)
            {
                while (clock.Elapsed < time)
                {
                    if (turn == own)
                    {
                        turn = 1 - own;
                        wakes++;
                        Monitor.Pulse(gate);
                    }

                    Monitor.Wait(gate, time);
                }

                Monitor.PulseAll(gate);
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        return wakes / clock.Elapsed.TotalSeconds;
    }
}
