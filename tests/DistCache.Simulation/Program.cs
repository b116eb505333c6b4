using System.Globalization;
using DistCache.Simulation.Replication;

namespace DistCache.Simulation;

/// <summary>Runs the seeds that it is given, of the swarm of caches, and says what tells each run from another.</summary>
internal static class Program
{
    private static void Main(string[] seeds) =>
        Array.ForEach(seeds, static seed => Console.WriteLine(CacheSwarm.Run(int.Parse(seed, CultureInfo.InvariantCulture))));
}
