using System.Buffers;
using System.Diagnostics;

namespace DistCache.Benchmarks.Fault;

/// <summary>One of three nodes is killed, paused or cut off: how long until the first read and the first acknowledged write of its keys.</summary>
internal static class FirstAnswerNumbers
{
    private const int Keys = 3_000;
    private const int Victim = 2;

    /// <summary>The faults of issue and design, with what is to be reached, in milliseconds.</summary>
    private static readonly (string Name, Action<Trio> Begin, int Read, int Write)[] Faults =
    [
        ("kill -9", static trio => trio.Kill(Victim), 100, 1_500),
        ("pause", static trio => trio.Pause(Victim), 1_000, 1_500),
        ("cut link", static trio => trio.Cut(Victim), 1_000, 1_500),
    ];

    public static async Task RunAsync(Place place, Arguments arguments)
    {
        var rounds = arguments.Number("rounds", 5);
        foreach (var (name, begin, readBound, writeBound) in Faults.Where(fault => place.Network is not null || fault.Name != "cut link"))
        {
            List<double> reads = [];
            List<double> writes = [];
            for (var round = 0; round < rounds; round++)
            {
                await using var trio = await Trio.StartAsync(place, arguments);
                var (read, write) = await MeasureAsync(trio, begin);
                reads.Add(read);
                writes.Add(write);
            }

            Console.WriteLine($"{name,-8}  first read {Measure.Spread(reads, "F1")} ms (to reach {readBound})   first write {Measure.Spread(writes, "F1")} ms (to reach {writeBound})");
        }
    }

    private static async Task<(double Read, double Write)> MeasureAsync(Trio trio, Action<Trio> begin)
    {
        await Entries.FillAsync(trio.Node.Cache, Keys);
        var view = trio.Node.View;
        var keys = Enumerable.Range(0, Keys).Select(Entries.KeyOf).Where(key => view.OwnersOf(key)[0] == FaultNode.NameOf(Victim)).ToArray();
        var clock = Stopwatch.StartNew();
        begin(trio);
        var read = FirstAsync(clock, keys, async key =>
        {
            if (!await trio.Node.Cache.TryGetAsync(key, new ArrayBufferWriter<byte>()))
            {
                throw new InvalidOperationException("A miss, where nothing was evicted: the entry is lost.");
            }
        });
        var write = FirstAsync(clock, [.. keys.Reverse()], key => Entries.WriteAsync(trio.Node.Cache, key));
        await Task.WhenAll(read, write);
        return (await read, await write);
    }

    /// <summary>One operation after the other, each on another key, until one succeeds.</summary>
    private static async Task<double> FirstAsync(Stopwatch clock, string[] keys, Func<string, ValueTask> operation)
    {
        foreach (var key in keys)
        {
            try
            {
                await operation(key);
                return clock.Elapsed.TotalMilliseconds;
            }
            catch (DistCacheUnavailableException)
            {
            }
        }

        throw new InvalidOperationException("Nothing succeeded.");
    }
}
