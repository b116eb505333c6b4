using System.Diagnostics;

namespace DistCache.Benchmarks.Fault;

/// <summary>The two other nodes stop gracefully and start again, one after the other: what gets see of it.</summary>
internal static class RollingNumbers
{
    public static async Task RunAsync(Place place, Arguments arguments)
    {
        var keys = arguments.Number("entries", 100_000);
        await using var trio = await Trio.StartAsync(place, arguments);
        await Entries.FillAsync(trio.Node.Cache, keys);
        var quiet = await PacedGets.ForAsync(TimeSpan.FromSeconds(8), trio.Node.Cache, keys);
        Console.WriteLine($"quiet:      {quiet}");
        var clock = Stopwatch.StartNew();
        var gets = new PacedGets(trio.Node.Cache, keys);
        for (var index = 1; index < Place.Nodes; index++)
        {
            await trio.RestartAsync(index);
        }

        var restarting = await gets.StopAsync();
        Console.WriteLine($"restarting: {restarting}: p99 {restarting.P99 / quiet.P99:F1} x quiet (to reach 10); {clock.Elapsed.TotalSeconds:F1} s for both nodes");
    }
}
