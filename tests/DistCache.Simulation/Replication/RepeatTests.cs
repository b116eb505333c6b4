using System.Diagnostics;
using System.Globalization;

namespace DistCache.Simulation.Replication;

/// <summary>A seed is the same run everywhere. Hashes of strings, and with them the order of some collections, are others in each process.</summary>
public sealed class RepeatTests
{
    /// <summary>Short ones in which somebody owes uses to two others at once, so that the order shows.</summary>
    private static readonly int[] Seeds = [3, 6, 13, 17];

    [Test]
    public async Task Seed_IsTheSameRunInAnotherProcess()
    {
        string[] arguments = [typeof(RepeatTests).Assembly.Location, .. Seeds.Select(static seed => seed.ToString(CultureInfo.InvariantCulture))];
        using var process = Process.Start(new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true })!;
        try
        {
            // At the same time.
            var there = process.StandardOutput.ReadToEndAsync();
            var here = Array.ConvertAll(Seeds, CacheSwarm.Run);
            Assert.That((await there).Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries), Is.EqualTo(here));
            await process.WaitForExitAsync();
            Assert.That(process.ExitCode, Is.Zero);
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }
        }
    }
}
