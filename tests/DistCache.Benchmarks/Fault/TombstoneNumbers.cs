using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Benchmarks.Fault;

/// <summary>Many more keys are set and removed than the budget could remember: what the removed ones take of it.</summary>
internal static class TombstoneNumbers
{
    private const int Callers = 32;

    public static async Task RunAsync(Arguments arguments)
    {
        var keys = arguments.Number("entries", 2_000_000);
        await using var node = await FaultNode.StartAsync(0, [$"127.0.0.1:{Peers.BenchmarkNode.FreePorts(1)[0]}"], arguments);
        var most = 0L;
        for (var part = 0; part < 10; part++)
        {
            var first = part * (keys / 10);
            await Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
            {
                for (var number = first + caller; number < first + (keys / 10); number += Callers)
                {
                    await Entries.WriteAsync(node.Cache, Entries.KeyOf(number));
                    await ((IDistributedCache)node.Cache).RemoveAsync(Entries.KeyOf(number));
                }
            })));
            most = Math.Max(most, node.Reading.TombstoneBytes);
        }

        var reading = node.Reading;
        Console.WriteLine($"{keys:N0} keys set and removed under {reading.LimitBytes >> 20} MiB: {reading.Tombstones:N0} tombstones, at most {most / 1024.0 / 1024:F1} MiB"
            + $" = {100.0 * most / reading.LimitBytes:F1} % of the budget (bound 10 %); {reading.UsedBytes / 1024.0 / 1024:F1} MiB in use.");
    }
}
