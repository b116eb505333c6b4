using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace DistCache.Benchmarks.Memory;

/// <summary>Operations a second on both sides in turns, in one process, on the same keys in the same order.</summary>
internal static class ThroughputNumbers
{
    public const int ValueBytes = 100;

    public static void Run(Arguments arguments)
    {
        var entries = arguments.Number("entries", 3_000_000);
        var rounds = arguments.Number("rounds", 7);
        var operations = arguments.Number("operations", 2_000_000);
        using var tier = Side.Create("tier", entries * 400L, arguments.Number("shards", 0));
        using var microsoft = Side.Create("microsoft", 0);
        for (var i = 0; i < entries; i++)
        {
            tier.Set(OverheadNumbers.Key(i), new byte[ValueBytes]);
            microsoft.Set(OverheadNumbers.Key(i), new byte[ValueBytes]);
        }

        Measure.CollectGarbage();
        var byRank = Enumerable.Range(0, entries).ToArray();
        new Random(1).Shuffle(byRank);
        var zipf = new Zipf(entries, 0.99);
        var mixes = new (string Name, Func<Random, int> Key)[]
        {
            ("Zipf(0.99)", random => byRank[zipf.Next(random)]),
            ("uniform", random => random.Next(entries)),
        };
        Console.WriteLine("M operations a second, and the ratio by the clock and by processor time (which other load on the machine disturbs less)");
        foreach (var threads in arguments.Text("threads", "1,2").Split(',').Select(text => int.Parse(text, CultureInfo.InvariantCulture)))
        {
            foreach (var (mix, key) in mixes)
            {
                var orders = Enumerable.Range(0, threads).Select(thread => Order(operations, key, new Random(thread))).ToArray();
                Compare($"get, {mix}, {threads} threads", orders, rounds, tier, microsoft, Get);
                if (arguments.Text("only", "") != "get")
                {
                    Compare($"set, {mix}, {threads} threads", orders, rounds, tier, microsoft, Set);
                }
            }
        }
    }

    private static int[] Order(int operations, Func<Random, int> key, Random random) =>
        [.. Enumerable.Range(0, operations).Select(_ => key(random))];

    private static void Compare(string what, int[][] orders, int rounds, Side tier, Side microsoft, Action<Side, int[]> work)
    {
        var (ours, theirs) = (new List<double>(), new List<double>());
        var (ratios, processorRatios) = (new List<double>(), new List<double>());
        var allocated = 0L;
        for (var round = 0; round <= rounds; round++)
        {
            allocated = GC.GetTotalAllocatedBytes(true);
            var own = Rate(orders, order => work(tier, order));
            allocated = GC.GetTotalAllocatedBytes(true) - allocated;
            var other = Rate(orders, order => work(microsoft, order));
            if (round > 0)
            {
                ours.Add(own.ByClock / 1e6);
                theirs.Add(other.ByClock / 1e6);
                ratios.Add(own.ByClock / other.ByClock);
                processorRatios.Add(own.ByProcessor / other.ByProcessor);
            }
        }

        Console.WriteLine(
            $"{what}: {Measure.Spread(ours)} against {Measure.Spread(theirs)}; ratio {Measure.Spread(ratios)}, by processor time "
            + $"{Measure.Spread(processorRatios)}; {allocated / (double)orders.Sum(order => order.Length):F2} bytes allocated an operation");
    }

    private static (double ByClock, double ByProcessor) Rate(int[][] orders, Action<int[]> work)
    {
        var threads = orders.Select(order => new Thread(() => work(order))).ToArray();
        var processor = Environment.CpuUsage.TotalTime;
        var started = Stopwatch.GetTimestamp();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        var operations = orders.Sum(order => (double)order.Length);
        return (
            operations / Stopwatch.GetElapsedTime(started).TotalSeconds,
            operations / (Environment.CpuUsage.TotalTime - processor).TotalSeconds);
    }

    public static void Get(Side side, int[] order)
    {
        var buffer = new byte[ValueBytes];
        var key = new KeyText();
        foreach (var number in order)
        {
            if (side.Get(key.Of(number), buffer) != ValueBytes)
            {
                throw new InvalidOperationException("A key is missing.");
            }
        }
    }

    private static void Set(Side side, int[] order)
    {
        var value = new byte[ValueBytes];
        foreach (var number in order)
        {
            // A new string: the other side keeps it where the key is new, and ours is not to have it cheaper.
            side.Set(OverheadNumbers.Key(number), value);
        }
    }

    /// <summary>
    /// The same string object with ever other digits: as near to the processor as a key is that an application has just put together, and
    /// without the garbage that would be counted on both sides.
    /// </summary>
    private sealed class KeyText
    {
        private readonly string _text = new(OverheadNumbers.Key(0));

        public string Of(int number)
        {
            var digits = MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(_text.AsSpan()), _text.Length);
            for (var i = digits.Length - 1; number > 0 || digits[i] != '0'; i--)
            {
                digits[i] = (char)('0' + (number % 10));
                number /= 10;
            }

            return _text;
        }
    }
}
