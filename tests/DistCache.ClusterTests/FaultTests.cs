namespace DistCache.ClusterTests;

/// <summary>What happens to processes in the world: all start at once, one stands still, one is back before anybody noticed.</summary>
[Platform(Unix)]
internal sealed class FaultTests : ClusterTest
{
    private const int Keys = 1_000;

    [Test]
    public async Task FiveNodes_StartedAtOnce_FormOneCluster()
    {
        var cluster = NewCluster(5);
        await cluster.StartAllAsync();
        await AssertHoldsAsync(cluster, await FillAsync(cluster, 500, "five"));
    }

    [Test]
    public async Task PausedNode_ForLessThanTheSuspicionMinimum_ChangesNoOwnership()
    {
        var cluster = NewCluster(3);
        await cluster.StartAllAsync();
        var entries = await FillAsync(cluster, Keys, "short");

        await AssertKeepsItsTableAsync(cluster, cluster[2].Pause, cluster[2].Continue);

        await AssertHoldsAsync(cluster, entries);
    }

    [Test]
    public async Task PausedNode_UntilItIsGivenUp_ReturnsInTheSameLifeAndServesWhatIsNew()
    {
        var cluster = NewCluster(3);
        await cluster.StartAllAsync();
        var entries = await FillAsync(cluster, Keys, "long");
        var before = (await cluster[0].ViewAsync()).Find(Cluster.NameOf(2))!;

        cluster[2].Pause();
        await cluster.WaitUntilAsync("both others have given the paused node up", async () => await HasGivenUpAsync(0) && await HasGivenUpAsync(1), Cluster.AgreeTimeout);

        // Overwritten behind its back: what it remembers is old now.
        await Task.WhenAll(entries.Keys.ToArray().Select((key, i) =>
        {
            entries[key] = $"rewritten {i}";
            return cluster[i % 2].PrepareAsync(key, entries[key]);
        }));
        cluster[2].Continue();
        await cluster.WaitUntilAgreedAsync();

        await AssertHoldsAsync(cluster, entries);
        Assert.That((await cluster[0].ViewAsync()).Find(Cluster.NameOf(2))!.Incarnation, Is.EqualTo(before.Incarnation), "it did not start anew");

        async Task<bool> HasGivenUpAsync(int index)
        {
            var view = await cluster[index].ViewAsync();
            return !view.IsImporting && (view.Find(Cluster.NameOf(2)) is null or { State: MemberState.Dead, Share: 0 });
        }
    }

    [Test]
    public async Task RestartedNode_OnTheSamePortBeforeAnybodyNoticed_IsANewLifeThatHoldsAllAgain()
    {
        var cluster = NewCluster(3);
        await cluster.StartAllAsync();
        var entries = await FillAsync(cluster, Keys, "fast");
        var former = (await cluster[0].ViewAsync()).Find(Cluster.NameOf(1))!.Incarnation;

        await cluster.WaitUntilSafeAsync();
        await cluster[1].KillAsync();
        await cluster.StartAsync(1);
        await cluster.WaitUntilAsync(
            "the new life is known",
            async () => (await cluster[0].ViewAsync()).Find(Cluster.NameOf(1))?.Incarnation > former && await cluster.IsAgreedAsync(),
            Cluster.AgreeTimeout);
        await AssertHoldsAsync(cluster, entries);

        // Its copies are real: it is the only one left that could have them.
        await cluster.WaitUntilSafeAsync();
        await cluster[0].KillAsync();
        await cluster.WaitUntilAgreedAsync();
        await AssertHoldsAsync(cluster, entries);
    }
}
