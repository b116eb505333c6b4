using System.Diagnostics;

namespace DistCache.Benchmarks.Fault;

/// <summary>
/// Three nodes that nobody asks anything: what each sends and what processor time it takes, empty and with equal entries; and what of that is
/// anti-entropy, by rounds that follow each other without a pause, of which a node has one in its interval and answers two.
/// </summary>
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
        var rest = await PrintAsync($"{keys:N0} entries", trio, time);
        await PrintRoundsAsync(trio, arguments.Number("rounds", 300), rest);
    }

    private static async Task PrintRoundsAsync(Trio trio, int rounds, Use rest)
    {
        // The first ones are still being compiled.
        for (var round = 0; round < rounds / 10; round++)
        {
            await trio.Node.CompareAsync();
        }

        var before = All(trio);
        for (var round = 0; round < rounds; round++)
        {
            await trio.Node.CompareAsync();
        }

        var used = All(trio) - before;
        var processor = (used.Processor - (rest.Processor * (used.At / rest.At))) / rounds;
        var bytes = (used.Sent - (rest.Sent * (used.At / rest.At))) / rounds;
        var interval = DistCache.Replication.AntiEntropy.Interval;
        Console.WriteLine(FormattableString.Invariant(
            $"a round of anti-entropy, at all three nodes together, without what they do at rest: {processor.TotalMilliseconds:F2} ms of a processor, {bytes:F0} bytes; a node's share of one each {interval.TotalSeconds:F0} s: {processor / interval:P3} of a core, {bytes / interval.TotalSeconds:F0} bytes/s"));
    }

    /// <summary>Of all three nodes.</summary>
    private static Use All(Trio trio) => Enumerable.Range(0, Place.Nodes).Select(index => Look(trio.ProcessOf(index)))
        .Aggregate((sum, one) => new Use(one.At, sum.Sent + one.Sent, sum.Processor + one.Processor));

    private static async Task<Use> PrintAsync(string what, Trio trio, TimeSpan time)
    {
        var all = All(trio);
        var before = Enumerable.Range(0, Place.Nodes).Select(index => Look(trio.ProcessOf(index))).ToArray();
        await Task.Delay(time);
        var after = Enumerable.Range(0, Place.Nodes).Select(index => Look(trio.ProcessOf(index))).ToArray();
        for (var index = 0; index < Place.Nodes; index++)
        {
            var seconds = (after[index].At - before[index].At).TotalSeconds;
            Console.WriteLine(FormattableString.Invariant(
                $"{what}: node-{index} sends {(after[index].Sent - before[index].Sent) / seconds:F0} bytes/s, takes {(after[index].Processor - before[index].Processor).TotalSeconds / seconds:P2} of a core"));
        }

        return All(trio) - all;
    }

    /// <summary>All bytes that left by the link of the process's namespace, headers and all.</summary>
    private static Use Look(int process)
    {
        var line = File.ReadLines($"/proc/{process}/net/dev").Select(text => text.Trim()).FirstOrDefault(text => text.StartsWith("eth0:", StringComparison.Ordinal));
        var sent = line is null ? 0 : long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[9], System.Globalization.CultureInfo.InvariantCulture);
        using var running = Process.GetProcessById(process);
        return new Use(Stopwatch.GetElapsedTime(0), sent, running.TotalProcessorTime);
    }

    private readonly record struct Use(TimeSpan At, long Sent, TimeSpan Processor)
    {
        public static Use operator -(Use after, Use before) => new(after.At - before.At, after.Sent - before.Sent, after.Processor - before.Processor);
    }
}
