using System.Diagnostics;

namespace DistCache.ClusterTests;

/// <summary>
/// Nodes whose network is cut: both ends of each link look up, nothing arrives, and nobody is told. Each test gets a network of its own.
/// </summary>
internal sealed class CutLinkTests : ClusterTest
{
    private const int Keys = 500;

    [OneTimeSetUp]
    public void LookForNamespaces()
    {
        if (SwitchedNetwork.FindObstacle() is { } obstacle)
        {
            Assert.Ignore(obstacle);
        }
    }

    [TestCase(3, 2)]
    [TestCase(4, 2, 3)]
    public async Task Cut_UntilEachSideGaveTheOtherUp_EndsAsOneClusterByVersion(int count, params int[] cutOff)
    {
        var network = new SwitchedNetwork(count);
        var cluster = NewCluster(network, count);
        await cluster.StartAllAsync();
        var entries = await FillAsync(cluster, Keys, "before");
        int[] rest = [.. Enumerable.Range(0, count).Except(cutOff)];
        var load = new Load(cluster, keys: 2_000, TestContext.CurrentContext.Random.Next());
        Array.ForEach(cutOff, load.Leave);
        load.Start();

        network.Cut(cutOff);
        var clock = Stopwatch.StartNew();
        await cluster.WaitUntilAsync("each side has given the other up", async () => await IsSideAsync(cluster, rest) && await IsSideAsync(cluster, cutOff), Cluster.AgreeTimeout);
        TestContext.Out.WriteLine($"Given up after {clock.Elapsed.TotalSeconds:F1} s.");

        // What is written second, on whichever side, is the later one.
        await WriteAsync(cluster, cutOff[0], entries, key => key % 4 is 0 or 1, "first, cut off");
        await WriteAsync(cluster, rest[0], entries, key => key % 4 is 1 or 2, "rest");
        await WriteAsync(cluster, cutOff[0], entries, key => key % 4 is 2, "second, cut off");

        network.Heal();
        clock.Restart();
        await cluster.WaitUntilAgreedAsync();
        TestContext.Out.WriteLine($"One again after {clock.Elapsed.TotalSeconds:F1} s.");
        await load.StopAsync();

        await AssertHoldsAsync(cluster, entries);
        TestContext.Out.WriteLine(load.Describe());

        // The members agree over the control lane; a writer whose data lane is dialled a moment later still passes an owner over, and owes it.
        await cluster.WaitUntilAsync("every owner has got what it is owed", async () =>
        {
            var wrong = await load.CheckAsync();
            wrong.ForEach(TestContext.Out.WriteLine);
            return wrong.Count == 0;
        }, Cluster.AgreeTimeout);
        Assert.That(load.Acknowledged, Is.GreaterThan(1_000), string.Join('\n', load.Failures));
    }

    [Test]
    public async Task Cut_ForLessThanTheSuspicionMinimum_ChangesNoOwnershipAndLosesNothing()
    {
        var network = new SwitchedNetwork(3);
        var cluster = NewCluster(network, 3);
        await cluster.StartAllAsync();
        var entries = await FillAsync(cluster, Keys, "short");
        var writes = Task.CompletedTask;

        await AssertKeepsItsTableAsync(
            cluster,
            begin: () =>
            {
                network.Cut(2);
                writes = Task.WhenAll(writes, WriteAsync(cluster, 0, entries, key => key % 2 == 0, "meanwhile"));
            },
            end: network.Heal);

        await writes;
        await cluster.WaitUntilSafeAsync();
        await AssertHoldsAsync(cluster, entries);
    }

    /// <summary>These see each other alive, nobody else, and have fetched what they own now.</summary>
    private static async Task<bool> IsSideAsync(Cluster cluster, int[] side)
    {
        var names = side.Select(Cluster.NameOf).ToHashSet();
        var views = await Task.WhenAll(side.Select(index => cluster[index].ViewAsync()));
        return views.All(view => !view.IsImporting
            && view.Alive.Select(member => member.Name).ToHashSet().SetEquals(names)
            && view.Members.All(member => names.Contains(member.Name) == member.Share > 0));
    }

    private static Task WriteAsync(Cluster cluster, int index, Dictionary<string, string> entries, Func<int, bool> isChosen, string value) =>
        Task.WhenAll(entries.Keys.ToArray().Where((_, key) => isChosen(key)).Select(key =>
        {
            entries[key] = value;
            return cluster[index].PrepareAsync(key, value);
        }));
}
