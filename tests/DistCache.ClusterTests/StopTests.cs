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
        for (var index = 0; index < cluster.Count; index++)
        {
            // As a load balancer would: no new requests for the one that is about to stop.
            load.Leave(index);
            Assert.That(await cluster[index].StopAsync(), Is.Zero, "a graceful stop is a success");
            await cluster.WaitUntilAgreedAsync();
            await cluster.StartAsync(index);
            await cluster.WaitUntilAgreedAsync();
            load.Use(index);
        }

        await load.StopAsync();
        var restarting = load.TakeReadPercentile99();
        TestContext.Out.WriteLine(FormattableString.Invariant(
            $"{load.Describe()}; p99 of reads {quiet:F2} ms quiet, {restarting:F2} ms meanwhile: {restarting / quiet:F1} x"));
        var lost = await load.CheckAsync();
        Assert.Multiple(() =>
        {
            Assert.That(load.Acknowledged, Is.GreaterThan(Keys), "there was load");
            Assert.That(lost, Is.Empty);
            Assert.That(load.FailedReads, Is.Zero, string.Join('\n', load.Failures));
        });
    }
}
