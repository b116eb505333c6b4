using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace DistCache.Benchmarks.Memory;

/// <summary>
/// What an operation costs on both sides, in turns, in one process, on the same keys in the same order. Each round draws new keys, and
/// the side that goes first changes from round to round.
/// </summary>
internal static class ThroughputNumbers
{
    public const int ValueBytes = 100;

    /// <summary>Not counted: till the compiler has done what it will, and each side's memory has been walked through once.</summary>
    private const int WarmUpRounds = 2;

    private delegate TimeSpan Work(Side side, int[] order);

    public static void Run(Arguments arguments)
    {
        var entries = arguments.Number("entries", 3_000_000);
        using var own = Side.Create(arguments.Text("side", "cache"), Math.Max(entries * 400L, 1 << 20), arguments.Number("shards", 0));
        using var other = Side.Create("microsoft", 0);
        Side[] sides = [own, other];
        for (var i = 0; i < entries; i++)
        {
            Array.ForEach(sides, side => side.Set(OverheadNumbers.Key(i), new byte[ValueBytes]));
        }

        Measure.CollectGarbage();
        Console.WriteLine($"{own.Name} against {other.Name}, ns an operation of one thread; the ratio is of the operations a second");
        foreach (var threads in arguments.Text("threads", "1,2").Split(',').Select(text => int.Parse(text, CultureInfo.InvariantCulture)))
        {
            foreach (var mix in arguments.Text("mix", "Zipf,uniform").Split(','))
            {
                foreach (var operation in arguments.Text("only", "get,set").Split(','))
                {
                    var draw = KeyDraw.Of(mix, entries);
                    Compare($"{operation}, {mix}, {threads} threads", threads, arguments, draw, sides, operation == "get" ? Get : Set);
                }
            }
        }
    }

    private static void Compare(string what, int threads, Arguments arguments, Func<Random, int> draw, Side[] sides, Work work)
    {
        var operations = arguments.Number("operations", 2_000_000);
        var (costs, ratios) = (new[] { new List<double>(), new List<double>() }, new List<double>());
        var allocated = new long[sides.Length];
        for (var round = -WarmUpRounds; round < arguments.Number("rounds", 7); round++)
        {
            var orders = Orders(threads, operations, draw, round);
            var cost = new double[sides.Length];
            for (var turn = 0; turn < sides.Length; turn++)
            {
                var number = (turn + round + WarmUpRounds) % sides.Length;
                var before = GC.GetTotalAllocatedBytes(true);
                cost[number] = Cost(orders, order => work(sides[number], order));
                allocated[number] = GC.GetTotalAllocatedBytes(true) - before;
            }

            if (round >= 0)
            {
                costs[0].Add(cost[0]);
                costs[1].Add(cost[1]);
                ratios.Add(cost[1] / cost[0]);
            }
        }

        Console.WriteLine(
            $"{what}: {Measure.Spread(costs[0], "F0")} against {Measure.Spread(costs[1], "F0")}; ratio {Measure.Spread(ratios)}; "
            + $"{string.Join(" against ", allocated.Select(bytes => (bytes / (double)operations / threads).ToString("F1", CultureInfo.InvariantCulture)))} bytes allocated an operation");
    }

    /// <summary>What each thread asks for in a round.</summary>
    public static int[][] Orders(int threads, int operations, Func<Random, int> draw, int round) =>
        [.. Enumerable.Range(0, threads).Select(thread => KeyDraw.Order(operations, draw, new Random((round * 64) + thread)))];

    /// <summary>Mean ns an operation of a thread, all threads at once. They are done at nearly the same time, being the same.</summary>
    public static double Cost(int[][] orders, Func<int[], TimeSpan> work)
    {
        var times = new TimeSpan[orders.Length];
        using var start = new Barrier(orders.Length);
        var threads = orders.Select((order, number) => new Thread(() =>
        {
            start.SignalAndWait();
            times[number] = work(order);
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        return times.Average(time => time.TotalNanoseconds) / orders[0].Length;
    }

    /// <summary>
    /// Reads, a batch of keys at a time; making the keys is not counted. They stand in strings that are as near to the processor as a key
    /// is that an application has just put together.
    /// </summary>
    public static TimeSpan Get(Side side, int[] order)
    {
        var keys = new KeyBatch();
        var buffer = new byte[ValueBytes];
        var ticks = 0L;
        for (var done = 0; done < order.Length; done += KeyBatch.Size)
        {
            var batch = keys.Of(order.AsSpan(done, Math.Min(KeyBatch.Size, order.Length - done)));
            var started = Stopwatch.GetTimestamp();
            GetAll(side, batch, buffer);
            ticks += Stopwatch.GetTimestamp() - started;
        }

        return Stopwatch.GetElapsedTime(0, ticks);
    }

    private static void GetAll(Side side, ReadOnlySpan<string> keys, byte[] buffer)
    {
        foreach (var key in keys)
        {
            if (side.Get(key, buffer) != ValueBytes)
            {
                throw new InvalidOperationException("A key is missing.");
            }
        }
    }

    /// <summary>Writes; making the keys is counted. New strings: the other side keeps one where the key is new, and ours is not to have it cheaper.</summary>
    private static TimeSpan Set(Side side, int[] order)
    {
        var value = new byte[ValueBytes];
        var started = Stopwatch.GetTimestamp();
        foreach (var number in order)
        {
            side.Set(OverheadNumbers.Key(number), value);
        }

        return Stopwatch.GetElapsedTime(started);
    }

    /// <summary>The same few string objects with ever other digits: no garbage that would be counted on both sides.</summary>
    private sealed class KeyBatch
    {
        public const int Size = 256;

        private readonly string[] _texts = [.. Enumerable.Range(0, Size).Select(_ => new string(OverheadNumbers.Key(0)))];

        public ReadOnlySpan<string> Of(ReadOnlySpan<int> numbers)
        {
            for (var i = 0; i < numbers.Length; i++)
            {
                Write(_texts[i], numbers[i]);
            }

            return _texts.AsSpan(0, numbers.Length);
        }

        private static void Write(string text, int number)
        {
            var digits = MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(text.AsSpan()), text.Length);
            for (var i = digits.Length - 1; number > 0 || digits[i] != '0'; i--)
            {
                digits[i] = (char)('0' + (number % 10));
                number /= 10;
            }
        }
    }
}
