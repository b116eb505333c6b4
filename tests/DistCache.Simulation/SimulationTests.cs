using DistCache.Peers;
using DistCache.Simulation.Membership;

namespace DistCache.Simulation;

/// <summary>What every other test here stands on: one thread, one order, one seed, and checkers that can fail.</summary>
public sealed class SimulationTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private static IEnumerable<TestCaseData> Staying()
    {
        yield return Case("completion source", async (time, _) =>
        {
            var source = new TaskCompletionSource();
            using var timer = time.CreateTimer(_ => source.SetResult(), null, Second, Timeout.InfiniteTimeSpan);
            await source.Task.ConfigureAwait(false);
        });
        yield return Case("delay that elapses", async (time, _) => await Task.Delay(Second, time).ConfigureAwait(false));
        yield return Case("WhenAny", async (time, _) =>
            await Task.WhenAny(Task.Delay(Second, time), new TaskCompletionSource().Task).ConfigureAwait(false));
        yield return Case("WhenAll", async (time, _) =>
            await Task.WhenAll(Task.Delay(Second, time), Task.Delay(2 * Second, time)).ConfigureAwait(false));
        yield return Case("WaitAsync that is fulfilled", async (time, _) =>
            await Task.Delay(Second, time).WaitAsync(2 * Second, time).ConfigureAwait(false));
        yield return Case("WaitAsync that times out", async (time, _) =>
        {
            try
            {
                await new TaskCompletionSource().Task.WaitAsync(Second, time).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
            }
        });
        yield return Case("PeriodicTimer", async (time, _) =>
        {
            using var timer = new PeriodicTimer(Second, time);
            await timer.WaitForNextTickAsync().ConfigureAwait(false);
        });
        yield return Case("callback of a token", async (time, cancel) =>
        {
            var source = new TaskCompletionSource();
            await using var registration = cancel.Token.Register(source.SetResult);
            using var timer = time.CreateTimer(_ => cancel.Cancel(), null, Second, Timeout.InfiniteTimeSpan);
            await source.Task.ConfigureAwait(false);
        });
    }

    private static IEnumerable<TestCaseData> Leaving()
    {
        yield return Case("WhenEach", async (time, _) =>
        {
            await foreach (var done in Task.WhenEach(Task.Delay(Second, time)).ConfigureAwait(false))
            {
                await done.ConfigureAwait(false);
            }
        });
        yield return Case("delay that is cancelled", async (time, cancel) =>
        {
            using var timer = time.CreateTimer(_ => cancel.Cancel(), null, Second, Timeout.InfiniteTimeSpan);
            try
            {
                await Task.Delay(Second * 9, time, cancel.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
            }
        });
        yield return Case("SemaphoreSlim", async (time, _) =>
        {
            var semaphore = new SemaphoreSlim(0);
            using var timer = time.CreateTimer(_ => semaphore.Release(), null, Second, Timeout.InfiniteTimeSpan);
            await semaphore.WaitAsync().ConfigureAwait(false);
        });
    }

    [TestCaseSource(nameof(Staying))]
    public void Continuation_OfWhatTheCoreMayUse_StaysOnTheThread(object body) => Assert.That(StaysOnThread(body), Is.True);

    /// <summary>Should one of these stay one day, the list of what is banned can shrink.</summary>
    [TestCaseSource(nameof(Leaving))]
    public void Continuation_OfWhatTheCoreMayNotUse_Leaves(object body) => Assert.That(StaysOnThread(body), Is.False);

    [Test]
    public void Run_SameSeed_SameStepsAndTrace()
    {
        var first = RunOnce(7);
        Assert.That(RunOnce(7), Is.EqualTo(first));
        Assert.That(RunOnce(8), Is.Not.EqualTo(first));
    }

    [Test]
    public void Node_PausedAndCrashed_DoesNothingUntilItGoesOnOrNeverAgain()
    {
        using var cluster = new Cluster(2, ClusterProfile.Fast).Form();
        var (paused, crashed) = (cluster.Nodes[0], cluster.Nodes[1]);
        var before = Cluster.ViewOf(paused);
        paused.Pause();
        crashed.Crash();
        cluster.Simulation.Run(TimeSpan.FromMinutes(1));
        var messages = cluster.Network.Messages;
        cluster.Simulation.Run(TimeSpan.FromMinutes(1));

        Assert.That(cluster.Network.Messages, Is.EqualTo(messages));
        Assert.That(Cluster.ViewOf(paused), Is.SameAs(before));
        paused.Resume();
        cluster.Simulation.Run(TimeSpan.FromMinutes(1));
        Assert.That(cluster.Network.Messages, Is.GreaterThan(messages));
    }

    [Test]
    public void Checkers_OfACutCluster_Fail()
    {
        using var cluster = new Cluster(3, ClusterProfile.Fast).Form();
        cluster.Isolate(cluster.Nodes[0]);
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));

        Assert.That(cluster.IsOne(), Is.False);
        Assert.That(cluster.Ownership.Removals(cluster.Nodes[0], cluster.Nodes), Is.EqualTo(1));
    }

    [Test]
    public void Network_LossDelayDuplicationAndRefusal_AreWhatTheLinkSays()
    {
        using var cluster = new Cluster(2, ClusterProfile.Fast).Form();
        var (from, to) = (cluster.Nodes[0], cluster.Nodes[1]);

        Assert.That(Ask(cluster, from, to.Address), Is.InstanceOf<ProbeReply>());
        Assert.That(Ask(cluster, from, from.Address), Is.InstanceOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Self));
        cluster.SetLoss(to, from, 1);
        Assert.That(Ask(cluster, from, to.Address), Is.EqualTo(PeerFault.TimedOut));
        cluster.Network.Heal();
        to.Crash();
        Assert.That(Ask(cluster, from, to.Address), Is.InstanceOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.NotListening));
        to.Start();
        Assert.That(Ask(cluster, from, to.Address), Is.InstanceOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.NotListening), "the lane rests");
        Assert.That(Ask(cluster, from, to.Address, new ProbeRequest(to.Identity, [])), Is.InstanceOf<ProbeReply>(), "and is dialled anew");
        Assert.That(Ask(cluster, from, to.Address), Is.InstanceOf<ProbeReply>(), "which ends the rest");
        to.Crash(isMachineOff: true);
        Assert.That(Ask(cluster, from, to.Address), Is.EqualTo(PeerFault.TimedOut));
    }

    private static PeerReply Ask(Cluster cluster, SimulatedNode from, PeerAddress to, PeerRequest? request = null)
    {
        var reply = from.Transport.SendAsync(to, request ?? new GossipRequest([]), Second, CancellationToken.None).AsTask();
        cluster.Simulation.RunUntil(() => reply.IsCompleted, 2 * Second, "a reply or a fault");
        return reply.Result;
    }

    private static string RunOnce(int seed)
    {
        using var cluster = new Cluster(5, ClusterProfile.Fast, seed).Form();
        cluster.SetLoss(cluster.Nodes[1], 0.5);
        cluster.Nodes[2].Crash();
        cluster.Simulation.Run(TimeSpan.FromSeconds(30));
        return $"{cluster.Simulation.Steps} {cluster.Network.Messages} {cluster.Simulation.Trace}";
    }

    private static bool StaysOnThread(object body)
    {
        using var simulation = new Simulation(1);
        using var cancel = new CancellationTokenSource();
        var node = new SimulatedNode(simulation, 0, "n0", new PeerAddress("n0", 1), (_, _) => throw new NotSupportedException());
        var time = new SimulatedTime(simulation, new Life(node, node.Address));
        var thread = Environment.CurrentManagedThreadId;
        var isHere = false;
        _ = RunAsync();
        simulation.Run(3 * Second);
        return isHere;

        async Task RunAsync()
        {
            await ((Func<TimeProvider, CancellationTokenSource, Task>)body)(time, cancel).ConfigureAwait(false);
            isHere = Environment.CurrentManagedThreadId == thread;
        }
    }

    private static TestCaseData Case(string name, Func<TimeProvider, CancellationTokenSource, Task> body) =>
        new TestCaseData(body).SetArgDisplayNames(name);
}
