using System.Diagnostics;

namespace DistCache.Benchmarks.Fault;

/// <summary>Three nodes that nobody asks anything: what each sends and what processor time it takes, empty and with equal entries.</summary>
internal static class RestNumbers
{
    /// <summary>After the last write, until nothing is left to confirm or to compare anew.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(8);

    public static async Task RunAsync(Place place, Arguments arguments)
    {
        var keys = arguments.Number("entries", 1_000_000);
        var time = TimeSpan.FromSeconds(arguments.Number("seconds", 62));
        await using var trio = await Trio.StartAsync(place, arguments);
        await Task.Delay(Settling / 2);
        await PrintAsync("empty", trio, time / 6);
        await Entries.FillAsync(trio.Node.Cache, keys);
        await Task.Delay(Settling);
        await PrintAsync($"{keys:N0} entries", trio, time);
    }

    private static async Task PrintAsync(string what, Trio trio, TimeSpan time)
    {
        var before = Enumerable.Range(0, Place.Nodes).Select(index => Look(trio.ProcessOf(index))).ToArray();
        await Task.Delay(time);
        var after = Enumerable.Range(0, Place.Nodes).Select(index => Look(trio.ProcessOf(index))).ToArray();
        for (var index = 0; index < Place.Nodes; index++)
        {
            var seconds = (after[index].At - before[index].At).TotalSeconds;
            Console.WriteLine(FormattableString.Invariant(
                $"{what}: node-{index} sends {(after[index].Sent - before[index].Sent) / seconds:F0} bytes/s, takes {(after[index].Processor - before[index].Processor).TotalSeconds / seconds:P2} of a core"));
        }
    }

    /// <summary>All bytes that left by the link of the process's namespace, headers and all.</summary>
    private static (TimeSpan At, long Sent, TimeSpan Processor) Look(int process)
    {
        var line = File.ReadLines($"/proc/{process}/net/dev").Select(text => text.Trim()).FirstOrDefault(text => text.StartsWith("eth0:", StringComparison.Ordinal));
        var sent = line is null ? 0 : long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[9], System.Globalization.CultureInfo.InvariantCulture);
        using var running = Process.GetProcessById(process);
        return (Stopwatch.GetElapsedTime(0), sent, running.TotalProcessorTime);
    }
}
