namespace DistCache.Benchmarks.Memory;

/// <summary>Only the gets of one side, on and on, for a profiler to watch.</summary>
internal static class HotNumbers
{
    public static void Run(Arguments arguments)
    {
        var entries = arguments.Number("entries", 3_000_000);
        using var side = Side.Create(arguments.Text("side", "cache"), Math.Max(entries * 400L, 1 << 20), arguments.Number("shards", 0));
        for (var i = 0; i < entries; i++)
        {
            side.Set(OverheadNumbers.Key(i), new byte[ThroughputNumbers.ValueBytes]);
        }

        var draw = KeyDraw.Of(arguments.Text("mix", "Zipf"), entries);
        var operations = arguments.Number("operations", 2_000_000);
        for (var round = 0; round < arguments.Number("rounds", 10); round++)
        {
            var orders = ThroughputNumbers.Orders(arguments.Number("threads", 1), operations, draw, round);
            Console.WriteLine($"{ThroughputNumbers.Cost(orders, order => ThroughputNumbers.Get(side, order)):F0} ns a get");
        }
    }
}
