using System.Runtime.CompilerServices;
using DistCache.Replication;
using DistCache.Tests.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests.Replication;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class RoundsTests
{
    private int _rounds;

    [Test]
    public async Task Round_ThatFails_IsFollowedByTheNext()
    {
        var time = new ManualTime();
        var running = Rounds.RunAsync("a part", TimeSpan.FromSeconds(1), Fail, time, NullLogger.Instance, CancellationToken.None, () => _rounds == 3);
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(running.IsCompleted, Is.False);
        time.Advance(TimeSpan.FromSeconds(1));
        await running;
        Assert.That(_rounds, Is.EqualTo(3));

        Task Fail() => ++_rounds < 3 ? throw new InvalidOperationException("a defect") : Task.CompletedTask;
    }

    /// <summary>The failure is counted, and whoever listens fails in turn.</summary>
    [Test]
    public async Task Round_ThatFailsBesideAFaultyListener_IsFollowedByTheNext()
    {
        using var listener = new FaultyListener();
        await Round_ThatFails_IsFollowedByTheNext();
        Assert.That(listener.Calls, Is.EqualTo(2));
    }

    /// <summary>
    /// A node that nobody stopped, with a clock of its own: the collector ends its timers on its own thread, and must get that back. (A round that ran
    /// here would not end, so that this test does.)
    /// </summary>
    [Test]
    public void Rounds_WhoseClockIsCollected_End()
    {
        StartAndForget();
        for (var collections = 0; collections < 3; collections++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.That(Volatile.Read(ref _rounds), Is.Zero);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void StartAndForget() => _ = Rounds.RunAsync("a part", TimeSpan.FromSeconds(1), Run, new ManualTime(), NullLogger.Instance, CancellationToken.None);

    private Task Run()
    {
        Interlocked.Increment(ref _rounds);
        return new TaskCompletionSource().Task;
    }
}
