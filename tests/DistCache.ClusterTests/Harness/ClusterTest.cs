using System.Diagnostics;
using NUnit.Framework.Interfaces;

namespace DistCache.ClusterTests;

/// <summary>A test with processes: they end with it, and what they logged is shown if it failed.</summary>
internal abstract class ClusterTest
{
    /// <summary>The length of a fault, not a wait for its effect. Nobody may be given up for it: the suspicion minimum of profile Fast is 4 x 500 ms.</summary>
    private static readonly TimeSpan ShortFault = TimeSpan.FromSeconds(1);

    /// <summary>Beyond this it is another fault: less than a probe interval is left of that minimum, in which to be told of a suspicion and to refute it.</summary>
    private static readonly TimeSpan LongestShortFault = TimeSpan.FromSeconds(1.5);

    private const int ShortFaults = 3;

    private readonly List<Cluster> _clusters = [];

    /// <summary>Signals are Unix's; elsewhere the tests that send them have nothing to do.</summary>
    protected const string Unix = "Linux,MacOsX";

    [TearDown]
    public async Task EndProcessesAsync()
    {
        var hasFailed = TestContext.CurrentContext.Result.Outcome.Status == TestStatus.Failed;
        Cluster[] clusters = [.. _clusters];

        // First, or one that cannot be ended would be left to the tests that follow in this fixture.
        _clusters.Clear();
        foreach (var cluster in clusters)
        {
            await cluster.DisposeAsync();
            if (hasFailed)
            {
                cluster.ShowLogs();
            }
        }
    }

    protected Cluster NewCluster(int count, string role = NodeHost.ConsoleRole, params string[] settings) =>
        Keep(new Cluster(count, role, network: null, settings));

    /// <summary>Each node at a link of its own; the network ends with the cluster.</summary>
    protected Cluster NewCluster(SwitchedNetwork network, int count) =>
        Keep(new Cluster(count, NodeHost.ConsoleRole, network, "--DistCache:Cluster:SharedSecret=beyond loopback a secret"));

    private Cluster Keep(Cluster cluster)
    {
        _clusters.Add(cluster);
        return cluster;
    }

    /// <summary>Writes keys through all running nodes in turn; all are acknowledged.</summary>
    protected static async Task<Dictionary<string, string>> FillAsync(Cluster cluster, int keys, string prefix)
    {
        var running = cluster.Running.ToArray();
        var entries = Enumerable.Range(0, keys).ToDictionary(i => $"{prefix}:{i}", i => $"value {i} of {prefix}");
        await Task.WhenAll(entries.Select((entry, i) => cluster[running[i % running.Length]].PrepareAsync(entry.Key, entry.Value)));
        return entries;
    }

    /// <summary>
    /// How often nodes 0 and 1 have logged a table of two, which may happen while three of them start. What is logged comes by another
    /// way than replies do: these have all come once the table of three, which follows them, is there.
    /// </summary>
    protected static async Task<int[]> CountTablesOfTwoAsync(Cluster cluster)
    {
        NodeProcess[] watched = [cluster[0], cluster[1]];
        await cluster.WaitUntilAsync(
            "the table of three nodes is logged",
            () => Task.FromResult(watched.All(node => TablesOf(3, node) > 0)),
            Cluster.AgreeTimeout);
        return [.. watched.Select(node => TablesOf(2, node))];

        static int TablesOf(int count, NodeProcess node) => node.Errors.Split($"The table changed: {count} nodes").Length - 1;
    }

    /// <summary>
    /// A short fault of the third node changes no ownership, not even for a moment. A fault that this machine made longer than it was to be
    /// says nothing, and is done once more.
    /// </summary>
    protected static async Task AssertKeepsItsTableAsync(Cluster cluster, Action begin, Action end)
    {
        for (var left = ShortFaults; left > 0; left--)
        {
            await cluster.WaitUntilAgreedAsync();
            var before = (await cluster[0].ViewAsync()).TableHash;
            var tablesOfTwo = await CountTablesOfTwoAsync(cluster);
            var clock = Stopwatch.StartNew();
            begin();
            await Task.Delay(ShortFault);
            end();
            var length = clock.Elapsed;
            await cluster.WaitUntilAgreedAsync();
            if (length < LongestShortFault)
            {
                Assert.That((await cluster[0].ViewAsync()).TableHash, Is.EqualTo(before));
                Assert.That(await CountTablesOfTwoAsync(cluster), Is.EqualTo(tablesOfTwo), "a table without the third");
                return;
            }

            TestContext.Out.WriteLine($"The fault took {length.TotalSeconds:F1} s.");
        }

        Assert.Fail($"This machine made {ShortFaults} faults of {ShortFault.TotalSeconds:F0} s longer than {LongestShortFault.TotalSeconds} s.");
    }

    /// <summary>Every running node shows every entry.</summary>
    protected static async Task AssertHoldsAsync(Cluster cluster, Dictionary<string, string> entries)
    {
        string[] keys = [.. entries.Keys];
        foreach (var index in cluster.Running)
        {
            var values = await Cluster.UntilAnsweredAsync(() => cluster[index].GetAsync(keys));
            var lost = keys.Where((key, i) => values[i] != entries[key]).ToArray();
            Assert.That(lost, Is.Empty, $"lost or older on {Cluster.NameOf(index)}: {lost.Length} of {keys.Length}");
        }
    }
}
