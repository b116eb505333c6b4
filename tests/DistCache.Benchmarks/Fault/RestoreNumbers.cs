using System.Diagnostics;

namespace DistCache.Benchmarks.Fault;

/// <summary>
/// One of three nodes with a million entries dies: how long until every entry has its copies again, and what gets see of it; with reads=0 nobody
/// reads meanwhile.
/// </summary>
internal static class RestoreNumbers
{
    private static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(8);

    public static async Task RunAsync(Place place, Arguments arguments)
    {
        var keys = arguments.Number("entries", 1_000_000);
        await using var trio = await Trio.StartAsync(place, arguments);
        var clock = Stopwatch.StartNew();
        await Entries.FillAsync(trio.Node.Cache, keys);
        Console.WriteLine($"{keys:N0} entries written in {clock.Elapsed.TotalSeconds:F1} s.");
        var quiet = await PacedGets.ForAsync(QuietTime, trio.Node.Cache, keys);
        Console.WriteLine($"quiet:      {quiet}");

        if (arguments.Number("reads", 1) == 0)
        {
            await LoseOneAsync(trio);
            clock.Restart();
            await trio.AgreeAsync(2);
            Console.WriteLine($"Nobody reads: all copies were there {clock.Elapsed.TotalSeconds:F2} s after the table changed. {trio.Node.Reading.Entries:N0} entries here.");
            return;
        }

        clock.Restart();
        var gets = new PacedGets(trio.Node.Cache, keys);
        await LoseOneAsync(trio);
        var changed = clock.Elapsed;
        var restoring = new PacedGets(trio.Node.Cache, keys);
        var detecting = await gets.StopAsync();
        await trio.AgreeAsync(2);
        var restored = clock.Elapsed;
        var meanwhile = await restoring.StopAsync();
        Console.WriteLine($"detecting:  {detecting}");
        Console.WriteLine($"restoring:  {meanwhile}: p99 {meanwhile.P99 / quiet.P99:F1} x quiet (to reach 3)");
        Console.WriteLine($"The table changed {changed.TotalSeconds:F2} s after the kill; all copies were there {(restored - changed).TotalSeconds:F2} s after that. {trio.Node.Reading.Entries:N0} entries here.");
    }

    /// <summary>Until the others own everything.</summary>
    private static async Task LoseOneAsync(Trio trio)
    {
        trio.Kill(2);
        while (!trio.Owns(2))
        {
            await Task.Delay(10);
        }
    }
}
