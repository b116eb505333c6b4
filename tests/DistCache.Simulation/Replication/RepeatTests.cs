using System.Diagnostics;

namespace DistCache.Simulation.Replication;

/// <summary>A seed is the same run everywhere. Hashes of strings, and with them the order of some collections, are others in each process.</summary>
public sealed class RepeatTests
{
    /// <summary>Short ones in which somebody owes uses to two others at once, so that the order shows.</summary>
    private static readonly int[] Seeds = [3, 6, 13, 17];

    /// <summary>Where the other process writes what its runs were.</summary>
    private const string FileVariable = "DISTCACHE_RUNS_FILE";

    [Test]
    [CancelAfter(120_000)]
    public async Task Seed_IsTheSameRunInAnotherProcess(CancellationToken token)
    {
        var runs = Array.ConvertAll(Seeds, CacheSwarm.Run);
        if (Environment.GetEnvironmentVariable(FileVariable) is { } mine)
        {
            await File.WriteAllLinesAsync(mine, runs, token);
            return;
        }

        var file = Path.GetTempFileName();
        try
        {
            await RunThereAsync(file, token);
            Assert.That(await File.ReadAllLinesAsync(file, token), Is.EqualTo(runs));
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static async Task RunThereAsync(string file, CancellationToken token)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", ["test", typeof(RepeatTests).Assembly.Location, "--filter", nameof(RepeatTests)])
        {
            Environment = { [FileVariable] = file },
            RedirectStandardOutput = true,
        })!;
        try
        {
            var output = await process.StandardOutput.ReadToEndAsync(token);
            await process.WaitForExitAsync(token);
            Assert.That(process.ExitCode, Is.Zero, output);
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
