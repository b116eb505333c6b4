using System.Globalization;

namespace DistCache.ClusterTests;

/// <summary>
/// Four nodes under load, and a killer that at random kills, stops, pauses and restarts them one at a time. No acknowledged write may be lost. Of reads
/// and writes only those may fail that went through the very process which was killed, paused or has stopped, or was given nothing to run on by the
/// machine, or while two of them were hurt; no read may show what is older than what had been acknowledged when it began, unless an owner stands
/// still, for either reason. The default is a short run; the long one is
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

    private static readonly TimeSpan Calm = TimeSpan.FromSeconds(1);

    [Test]
    public async Task LongRun_NodesKilledStoppedAndPausedAtRandom_LosesNothingAndFailsNowhereElse()
    {
        var duration = TimeSpan.FromSeconds(Setting("DISTCACHE_RUN_SECONDS", 20));
        var seed = Setting("DISTCACHE_RUN_SEED", TestContext.CurrentContext.Random.Next());
        var random = new Random(seed);
        var cluster = NewCluster(Nodes);
        await cluster.StartAllAsync();
        var load = new Load(cluster, Setting("DISTCACHE_RUN_KEYS", 20_000), seed);
        load.Start();
        List<Fault> faults = [];
        do
        {
            // All is well meanwhile: whatever fails now has no excuse.
            await Task.Delay(Calm);
            faults.Add(await HurtAsync(cluster, load, random));
            TestContext.Out.WriteLine(faults[^1]);
        }
        while (load.Elapsed < duration);

        await Task.Delay(Calm);
        await load.StopAsync();
        var lost = await load.CheckAsync();
        var starvations = load.Starvations.ToArray();
        Array.ForEach(starvations, TestContext.Out.WriteLine);
        faults.AddRange(starvations);
        TestContext.Out.WriteLine(FormattableString.Invariant($"{load.Describe()}; starved {starvations.Length} times; p99 of reads {load.TakeReadPercentile99():F2} ms"));
        foreach (var group in load.Failures.GroupBy(call => (call.IsRead, call.Outcome, Fault.FindReason(faults, call)?.Kind)).OrderBy(group => group.Key))
        {
            var (isRead, outcome, kind) = group.Key;
            TestContext.Out.WriteLine($"{group.Count(),6} {(isRead ? "reads" : "writes")} {outcome}, {(kind is null ? "for no reason that is known" : $"while this was done to a process: {kind}")}");
        }

        foreach (var call in load.Failures.Where(call => call.Outcome is Outcome.Failed or Outcome.Older).Take(Load.Callers))
        {
            TestContext.Out.WriteLine(call);
        }

        Assert.Multiple(() =>
        {
            Assert.That(load.Acknowledged, Is.GreaterThan(1_000), string.Join('\n', load.Failures.Take(20)));
            Assert.That(lost, Is.Empty, load.Describe());
            Assert.That(load.Failures.Where(call => Fault.FindReason(faults, call) is null), Is.Empty, "failed, or showed what was older, for no fault of the process that was asked");
            Assert.That(load.Failures.Count(call => call.Outcome == Outcome.Failed), Is.LessThanOrEqualTo(Load.Callers * faults.Count), "no more can be under way when a process is paused");
        });
    }

    /// <summary>One fault from its beginning until all copies are there again: more than that, one copy beside the primary's cannot bear.</summary>
    private static async Task<Fault> HurtAsync(Cluster cluster, Load load, Random random)
    {
        var index = random.Next(Nodes);
        var kind = (FaultKind)random.Next(4);
        var began = load.Elapsed;
        switch (kind)
        {
            case FaultKind.Crash:
                await cluster[index].KillAsync();
                await cluster.WaitUntilAgreedAsync(areAllOwners: false);
                await cluster.StartAsync(index);
                break;
            case FaultKind.QuickCrash:
                await cluster[index].KillAsync();
                await cluster.StartAsync(index);
                break;
            case FaultKind.Stop:
                // Its callers go on asking until it is gone.
                await cluster[index].StopAsync();
                await cluster.WaitUntilAgreedAsync(areAllOwners: false);
                await cluster.StartAsync(index);
                break;
            default:
                // The length of the fault, not a wait for its effect.
                load.Leave(index);
                cluster[index].Pause();
                await Task.Delay(LongestPause * random.NextDouble());
                cluster[index].Continue();
                load.Use(index);
                break;
        }

        var ended = load.Elapsed;
        await cluster.WaitUntilAgreedAsync(areAllOwners: false);
        return new Fault(kind, index, began, ended, load.Elapsed);
    }

    private static int Setting(string name, int otherwise) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
