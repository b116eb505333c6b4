namespace DistCache.Simulation.Replication;

/// <summary>
/// Whole caches under random load and random faults, with times of peace in which every read is judged. DISTCACHE_SEEDS says how many seeds
/// (200 unless set), DISTCACHE_FIRST_SEED where they start (1), DISTCACHE_SEED runs a single one.
/// </summary>
public sealed class CacheSwarm
{
    private const int Batches = 8;

    private const int Keys = 8;

    /// <summary>
    /// Two short wars with many faults; or a long one with few, in which members stay away for rounds of anti-entropy, watermarks
    /// rise without them, and tombstones go.
    /// </summary>
    private static readonly (int Count, TimeSpan Length, TimeSpan LongestGap, TimeSpan LongestLifetime)[] Wars =
    [
        (2, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(8)),
        (1, TimeSpan.FromSeconds(150), TimeSpan.FromSeconds(25), TimeSpan.FromSeconds(60)),
    ];

    /// <summary>Nothing is evicted of what a run with large values writes.</summary>
    private const long LargeSizeLimit = 64 << 20;

    /// <summary>Reads are as promised from here on: owners that could not be reached for a moment have got what they missed.</summary>
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Peace = TimeSpan.FromSeconds(3);

    [Test]
    public void Faults_OfEveryKindAtRandom_BreakNoPromise([Range(0, Batches - 1)] int batch) => Membership.Swarm.RunSeeds(batch, Batches, static seed => Run(seed));

    /// <summary>Gives what tells one run from another.</summary>
    internal static string Run(int seed)
    {
        var shape = new Random(seed);
        var options = new ReplicationOptions
        {
            ReplicaCount = shape.Next(4) == 0 ? 2 : shape.Next(8) == 0 ? 0 : 1,
            WriteAck = (WriteAck)shape.Next(3),
            ReadFrom = shape.Next(4) == 0 ? ReadFrom.Majority : ReadFrom.Primary,
        };
        var war = Wars[shape.Next(Wars.Length)];
        var withCuts = shape.Next(3) > 0;

        // Every eighth: they go by the bulk lane, the acting primary leads each write, and a transfer takes a batch for each.
        var isLarge = seed % 8 == 0;
        using var cluster = new CacheCluster(shape.Next(5) == 0 ? shape.Next(1, 3) : shape.Next(3, 6), seed, Keys, options, isLarge ? LargeSizeLimit : CacheProcess.SizeLimit)
        {
            ValueBytes = isLarge ? CacheProcess.MaximumValueBytes : sizeof(int),
            EraLength = TimeSpan.FromSeconds(5),
            LongestLifetime = war.LongestLifetime,
        };
        if (!withCuts)
        {
            cluster.History.UnsettledResolution = TimeSpan.FromSeconds(1);
            cluster.Nodes[0].ClockError = TimeSpan.FromHours(shape.Next(-1, 2));
        }

        // Every fourth is hurt before its members count.
        if (shape.Next(4) == 0)
        {
            cluster.StartNodes();
        }
        else
        {
            cluster.Form();
        }

        cluster.StartLoad(operationsPerSecond: 15);
        var faults = new CacheFaults(cluster, withCuts);
        for (var round = 0; round < war.Count; round++)
        {
            Disturb(cluster, faults, war.Length, war.LongestGap);
        }

        cluster.StopLoad();
        cluster.CheckEverything();
        cluster.CheckQuiet();
        var simulation = cluster.Simulation;
        return $"seed {seed}: {simulation.Steps} steps, {simulation.Network.Messages} messages, trace {simulation.Trace.Digest:x16}";
    }

    private static void Disturb(CacheCluster cluster, CacheFaults faults, TimeSpan length, TimeSpan longestGap)
    {
        cluster.JudgesReads = false;
        var end = cluster.Simulation.Elapsed + length;
        while (cluster.Simulation.Elapsed < end)
        {
            faults.InjectOne();
            cluster.Simulation.Run(longestGap * cluster.Simulation.Random.NextDouble());
            cluster.CheckBudgets();
        }

        faults.EndAll();
        cluster.Settle();
        cluster.History.Reconcile(cluster.Simulation.Elapsed);
        cluster.Simulation.Run(Recovery);
        cluster.JudgesReads = true;
        cluster.Simulation.Run(Peace);
        cluster.CheckErrors();
    }
}
