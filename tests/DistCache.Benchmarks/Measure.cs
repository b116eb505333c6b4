using System.Diagnostics;

namespace DistCache.Benchmarks;

/// <summary>What several rounds of one measurement gave.</summary>
internal static class Measure
{
    /// <summary>The resident set of this process in bytes; Linux only, elsewhere the working set.</summary>
    public static long ResidentBytes()
    {
        if (!OperatingSystem.IsLinux())
        {
            return Process.GetCurrentProcess().WorkingSet64;
        }

        var line = File.ReadLines("/proc/self/status").First(text => text.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture) << 10;
    }

    public static void CollectGarbage()
    {
        for (var i = 0; i < 3; i++)
        {
            GC.Collect(2, GCCollectionMode.Aggressive, true, true);
            GC.WaitForPendingFinalizers();
        }
    }

    /// <summary>Runs this program again, so that a measurement starts from an empty process; false if it failed.</summary>
    public static void InChild(params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!);
        if (Path.GetFileNameWithoutExtension(start.FileName) == "dotnet")
        {
            start.ArgumentList.Add(typeof(Measure).Assembly.Location);
        }

        Array.ForEach(arguments, start.ArgumentList.Add);
        using var child = Process.Start(start)!;
        child.WaitForExit();
        if (child.ExitCode != 0)
        {
            throw new InvalidOperationException($"{string.Join(' ', arguments)} failed with {child.ExitCode}.");
        }
    }

    public static string Spread(IReadOnlyCollection<double> values, string format = "F2")
    {
        var sorted = values.Order().ToArray();
        return $"{sorted[sorted.Length / 2].ToString(format)} (median of {sorted.Length}, {sorted[0].ToString(format)}–{sorted[^1].ToString(format)})";
    }
}
