using System.Diagnostics;
using System.Globalization;

namespace DistCache.ClusterTests;

/// <summary>
/// Four nodes under load, and a killer that at random kills, stops, pauses and restarts them one at a time. The default is a short run; the
/// long one is
/// <code>
/// DISTCACHE_RUN_SECONDS=300 DISTCACHE_RUN_KEYS=200000 dotnet test -c Release tests/DistCache.ClusterTests --filter LongRun
/// </code>
/// and <c>DISTCACHE_RUN_SEED</c> repeats the killer's choices of an earlier run.
/// </summary>
[Platform(Unix)]
internal sealed class LongRunTests : ClusterTest
{
    private const int Nodes = 4;

    /// <summary>A pause from one that is hardly seen to one that costs membership.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(8);

    [Test]
    public async Task LongRun_NodesKilledStoppedAndPausedAtRandom_LosesNoAcknowledgedWriteOrRemove()
    {
        var duration = TimeSpan.FromSeconds(Setting("DISTCACHE_RUN_SECONDS", 20));
        var seed = Setting("DISTCACHE_RUN_SEED", TestContext.CurrentContext.Random.Next());
        var random = new Random(seed);
        var cluster = NewCluster(Nodes, NodeHost.ConsoleRole, "--DistCache:Replication:OnReadFailure=Throw");
        await cluster.StartAllAsync();
        var load = new Load(cluster, Setting("DISTCACHE_RUN_KEYS", 20_000), seed);
        load.Start();
        var clock = Stopwatch.StartNew();
        do
        {
            var began = clock.Elapsed;
            var fault = await HurtAsync(cluster, load, random);
            TestContext.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{began.TotalSeconds,6:F1} to {clock.Elapsed.TotalSeconds:F1} s  {fault}"));
        }
        while (clock.Elapsed < duration);

        await load.StopAsync();
        await cluster.WaitUntilAgreedAsync(areAllOwners: false);
        TestContext.Out.WriteLine(string.Join('\n', load.ReadFailures));
        TestContext.Out.WriteLine(FormattableString.Invariant($"{load.Describe()}; p99 of reads {load.TakeReadPercentile99():F2} ms"));
        var lost = await load.CheckAsync();
        Assert.Multiple(() =>
        {
            Assert.That(load.Acknowledged, Is.GreaterThan(1_000), string.Join('\n', load.Failures));
            Assert.That(lost, Is.Empty, load.Describe());
        });
    }

    /// <summary>One fault from its beginning until all copies are there again: more than that, one copy beside the primary's cannot bear.</summary>
    private static async Task<string> HurtAsync(Cluster cluster, Load load, Random random)
    {
        var index = random.Next(Nodes);
        var name = Cluster.NameOf(index);
        string fault;
        switch (random.Next(4))
        {
            case 0:
                fault = $"{name} was killed, and started when the others had given it up";
                await cluster[index].KillAsync();
                await cluster.WaitUntilAgreedAsync(areAllOwners: false);
                await cluster.StartAsync(index);
                break;
            case 1:
                fault = $"{name} was killed, and started at once";
                await cluster[index].KillAsync();
                await cluster.StartAsync(index);
                break;
            case 2:
                fault = $"{name} was stopped and started";
                load.Leave(index);
                await cluster[index].StopAsync();
                await cluster.WaitUntilAgreedAsync(areAllOwners: false);
                await cluster.StartAsync(index);
                load.Use(index);
                break;
            default:
                // The length of the fault, not a wait for its effect.
                var pause = LongestPause * random.NextDouble();
                fault = string.Create(CultureInfo.InvariantCulture, $"{name} was paused for {pause.TotalSeconds:F1} s");
                load.Leave(index);
                cluster[index].Pause();
                await Task.Delay(pause);
                cluster[index].Continue();
                load.Use(index);
                break;
        }

        await cluster.WaitUntilAgreedAsync(areAllOwners: false);
        return fault;
    }

    private static int Setting(string name, int otherwise) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
