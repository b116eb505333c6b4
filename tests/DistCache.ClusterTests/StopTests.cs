using System.Text.RegularExpressions;

namespace DistCache.ClusterTests;

[Platform(Unix)]
internal sealed class StopTests : ClusterTest
{
    private const int Keys = 5_000;
    private const int QuietReads = 20_000;

    [Test]
    public async Task RollingRestart_BySigtermUnderLoad_LosesNothingAndFailsNoRead()
    {
        var cluster = NewCluster(3);
        await cluster.StartAllAsync();
        var load = new Load(cluster, Keys, TestContext.CurrentContext.Random.Next());
        load.Start();
        await cluster.WaitUntilAsync("there is load", () => Task.FromResult(load.Reads > QuietReads), Cluster.AgreeTimeout);
        var quiet = load.TakeReadPercentile99();
        var stops = new List<(string Identity, NodeProcess Witness)>();
        for (var index = 0; index < cluster.Count; index++)
        {
            // As a load balancer would: no new requests for the one that is about to stop.
            await load.LeaveAsync(index);
            var identity = $"{Cluster.NameOf(index)}#{(await cluster[index].ViewAsync()).Find(Cluster.NameOf(index))!.Incarnation}";
            NodeProcess[] witnesses = [.. cluster.Running.Where(other => other != index).Select(other => cluster[other])];
            stops.AddRange(witnesses.Select(witness => (identity, witness)));
            Assert.That(await cluster[index].StopAsync(), Is.Zero, "a graceful stop is a success");
            await cluster.WaitUntilAgreedAsync();
            await cluster.WaitUntilAsync(
                $"the others have logged that {identity} is leaving",
                () => Task.FromResult(witnesses.All(witness => ChangesOf(identity, witness).Contains("Leaving"))),
                Cluster.AgreeTimeout);
            await cluster.StartAsync(index);
            await cluster.WaitUntilAgreedAsync();
            load.Use(index);
        }

        await load.StopAsync();
        var restarting = load.TakeReadPercentile99();
        TestContext.Out.WriteLine(FormattableString.Invariant(
            $"{load.Describe()}; p99 of reads {quiet:F2} ms quiet, {restarting:F2} ms meanwhile: {restarting / quiet:F1} x"));
        var lost = await load.CheckAsync();
        var starvations = load.Starvations.ToArray();
        Array.ForEach(starvations, TestContext.Out.WriteLine);
        Assert.Multiple(() =>
        {
            Assert.That(load.Acknowledged, Is.GreaterThan(Keys), "there was load");
            Assert.That(lost, Is.Empty);
            Assert.That(load.Failures.Where(call => Fault.FindReason(starvations, call) is null), Is.Empty);
            foreach (var (identity, witness) in stops)
            {
                // Before that a node which got no processor for a while may have been suspected, and refuted it.
                Assert.That(ChangesOf(identity, witness).SkipWhile(state => state != "Leaving"), Has.None.EqualTo("Suspect").And.None.EqualTo("Dead"), $"{identity} was taken for crashed");
            }
        });
    }

    /// <summary>The states that this process saw that life of a member take, in order.</summary>
    private static string[] ChangesOf(string identity, NodeProcess witness) =>
        [.. Regex.Matches(witness.Errors, $@"Member {Regex.Escape(identity)}: \w+ \S+ (\w+),").Select(match => match.Groups[1].Value)];
}
