using System.Diagnostics;

namespace DistCache.Benchmarks.Fault;

/// <summary>The two other nodes stop gracefully and start again, one after the other: what gets see of it, in each part of a restart.</summary>
internal static class RollingNumbers
{
    private static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(5);

    public static async Task RunAsync(Place place, Arguments arguments)
    {
        var keys = arguments.Number("entries", 100_000);
        await using var trio = await Trio.StartAsync(place, arguments);
        await Entries.FillAsync(trio.Node.Cache, keys);
        List<double> ratios = [];
        for (var round = 0; round < arguments.Number("rounds", 3); round++)
        {
            ratios.Add(await RoundAsync(trio, keys));
        }

        Console.WriteLine($"p99 {Measure.Spread(ratios, "F1")} x quiet (to reach 10)");
    }

    private static async Task<double> RoundAsync(Trio trio, int keys)
    {
        var quiet = await PacedGets.ForAsync(QuietTime, trio.Node.Cache, keys);
        Console.WriteLine($"quiet:      {quiet}");
        List<(long At, string What)> parts = [];
        var gets = new PacedGets(trio.Node.Cache, keys);
        for (var index = 1; index < Place.Nodes; index++)
        {
            var name = FaultNode.NameOf(index);
            await trio.RestartAsync(index, part => parts.Add((Stopwatch.GetTimestamp(), $"{name} {part}")));
        }

        var restarting = await gets.StopAsync();
        parts.Add((Stopwatch.GetTimestamp(), ""));
        Console.WriteLine($"restarting: {restarting}");
        foreach (var (part, next) in parts.Zip(parts.Skip(1)))
        {
            Console.WriteLine(FormattableString.Invariant($"  {part.What}, {Stopwatch.GetElapsedTime(part.At, next.At).TotalSeconds:F1} s: {gets.Between(part.At, next.At)}"));
        }

        return restarting.P99 / quiet.P99;
    }
}
