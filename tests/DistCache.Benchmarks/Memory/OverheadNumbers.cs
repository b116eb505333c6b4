using System.Globalization;

namespace DistCache.Benchmarks.Memory;

/// <summary>Growth of the resident set over keys and values while filling, each side in a process of its own.</summary>
internal static class OverheadNumbers
{
    private const int KeyBytes = 21;

    public static void Run(Arguments arguments)
    {
        var entries = arguments.Number("entries", 1_000_000);
        foreach (var valueBytes in new[] { 100, 1_000 })
        {
            foreach (var side in new[] { "tier", "microsoft" })
            {
                Measure.InChild("memory", "overhead-of", $"side={side}", $"entries={entries}", $"value={valueBytes}");
            }
        }
    }

    public static void RunOne(Arguments arguments)
    {
        var entries = arguments.Number("entries", 1_000_000);
        var valueBytes = arguments.Number("value", 100);
        var payload = (long)entries * (KeyBytes + valueBytes);
        // All of it once before: what the runtime itself takes, for compiled code and young garbage, is there when the measurement starts.
        using (var warmUp = Side.Create(arguments.Text("side", "tier"), payload * 2))
        {
            Fill(warmUp, entries, valueBytes);
        }

        // A tier whose next memory was just being made ready gives all back when that is done, on another thread.
        Measure.CollectGarbage();
        WaitUntilGivenBack();
        using var side = Side.Create(arguments.Text("side", "tier"), payload * 2);
        Measure.CollectGarbage();
        var before = Measure.ResidentBytes();
        Fill(side, entries, valueBytes);
        Measure.CollectGarbage();
        var growth = Measure.ResidentBytes() - before;
        var counted = side is TierSide tier ? $", counted towards the budget {tier.Tier.Statistics.Bytes / (double)entries:F1}" : "";
        Console.WriteLine(
            $"{side.Name}: {entries:N0} entries of {KeyBytes} + {valueBytes} bytes: {(growth - payload) / (double)entries:F1} bytes of overhead an entry, "
            + $"{growth / (double)payload:F3} x payload (resident {growth / (double)entries:F1} an entry{counted})");
    }

    private static void WaitUntilGivenBack()
    {
        var last = long.MaxValue;
        for (var i = 0; i < 100 && Measure.ResidentBytes() is var now && now < last - (1 << 20); i++)
        {
            last = now;
            Thread.Sleep(100);
        }
    }

    private static void Fill(Side side, int entries, int valueBytes)
    {
        var value = new byte[valueBytes];
        for (var i = 0; i < entries; i++)
        {
            side.Set(Key(i), value);
        }
    }

    public static string Key(int number) => "key:" + number.ToString("D17", CultureInfo.InvariantCulture);
}
