using NUnit.Framework.Internal;

namespace DistCache.Simulation.Membership;

/// <summary>
/// Random faults for two virtual minutes, then peace: whatever happened, one view must be the end of it. DISTCACHE_SEEDS says how many
/// seeds (200 unless set), DISTCACHE_FIRST_SEED where they start (1), DISTCACHE_SEED runs a single one.
/// </summary>
public sealed class Swarm
{
    private const int Batches = 8;

    private static readonly TimeSpan Duration = TimeSpan.FromMinutes(2);

    /// <summary>The long peace that the worst may need: a wrong suspicion in a sick cluster, a redial, the settle windows.</summary>
    private static readonly TimeSpan Peace = TimeSpan.FromMinutes(3);

    public static bool IsLong => Environment.GetEnvironmentVariable("DISTCACHE_LONG") == "1";

    private static int First => int.TryParse(Environment.GetEnvironmentVariable("DISTCACHE_FIRST_SEED"), out var first) ? first : 1;

    [Test]
    public void Faults_OfEveryKindAtRandom_EndInOneView([Range(0, Batches - 1)] int batch) => RunSeeds(batch, Batches, Run);

    /// <summary>Runs each <paramref name="batches"/>th of the seeds to its end, or the single one that is asked for; then names all that failed.</summary>
    internal static void RunSeeds(int batch, int batches, Action<int> run, int seedsUnlessSet = 200)
    {
        var seeds = int.TryParse(Environment.GetEnvironmentVariable("DISTCACHE_SEEDS"), out var count) ? count : seedsUnlessSet;
        if (Environment.GetEnvironmentVariable("DISTCACHE_SEED") is { } given)
        {
            run(int.Parse(given, null));
            return;
        }

        var failures = new List<(int Seed, Exception Reason)>();
        for (var seed = First + batch; seed < First + seeds; seed += batches)
        {
            // Else the test would keep the first failure to itself, and fail whatever comes after it.
            using var _ = new TestExecutionContext.IsolatedContext();
            try
            {
                run(seed);
            }
            catch (Exception reason)
            {
                failures.Add((seed, reason));
            }
        }

        Assert.That(failures, Is.Empty, () => $"Seeds that fail: {string.Join(", ", failures.Select(failure => failure.Seed))}. The first: {failures[0].Reason}");
    }

    private static void Run(int seed)
    {
        var shape = new Random(seed);
        using var cluster = new Cluster(shape.Next(1, 8), (ClusterProfile)shape.Next(2), seed, seeds: shape.Next(1, 4));
        foreach (var node in cluster.Nodes)
        {
            node.Start();
        }

        var faults = new RandomFaults(cluster);
        while (cluster.Simulation.Elapsed < Duration)
        {
            faults.InjectOne();
            cluster.Simulation.Run(TimeSpan.FromSeconds(8) * cluster.Simulation.Random.NextDouble());
        }

        faults.EndAll();
        cluster.Converge(Peace);
        cluster.Simulation.Run(TimeSpan.FromSeconds(5));

        // The end of a quarantine may be seen a second apart, nothing else may differ.
        cluster.Simulation.RunUntil(cluster.IsOne, TimeSpan.FromSeconds(2), "the one view lasts");
    }
}
