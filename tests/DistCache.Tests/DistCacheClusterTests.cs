using System.Text;
using DistCache.Tests.Replication;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests;

[CancelAfter(Patience.Milliseconds)]
public sealed class DistCacheClusterTests
{

    [Test]
    public async Task ViewChanged_ChangesDuringASlowHandler_RaisedOnceMoreForTheLatest()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var node = cluster.Nodes[0];
        var observed = new DistCacheCluster(node.Replicator, NullLogger.Instance);
        var seen = new List<ClusterView>();
        var running = 0;
        var mostAtOnce = 0;
        using var isSlow = new ManualResetEventSlim();
        using var calls = new SemaphoreSlim(0);
        observed.ViewChanged += (_, view) =>
        {
            var atOnce = Interlocked.Increment(ref running);
            lock (seen)
            {
                mostAtOnce = Math.Max(mostAtOnce, atOnce);
                seen.Add(view);
            }

            calls.Release();
            isSlow.Wait(Patience.Time);
            Interlocked.Decrement(ref running);
        };

        See(MemberState.Suspect);
        Assert.That(await calls.WaitAsync(Patience.Time), Is.True, "the first change");
        See(MemberState.Dead);
        See(MemberState.Left);
        await PassThreadPoolAsync();
        isSlow.Set();
        Assert.That(await calls.WaitAsync(Patience.Time), Is.True, "the changes during the handler");
        await PassThreadPoolAsync();

        lock (seen)
        {
            Assert.Multiple(() =>
            {
                Assert.That(mostAtOnce, Is.EqualTo(1), "handlers at once");
                Assert.That(seen.Select(StateOfLast), Is.EqualTo(new[] { MemberState.Suspect, MemberState.Left }));
                Assert.That(seen[^1].Members, Is.EqualTo(observed.View.Members));
                Assert.That(seen[^1].TableHash, Is.EqualTo(observed.View.TableHash));
            });
        }

        void See(MemberState state) => node.See(cluster.Nodes, other => other == cluster.Nodes[2] ? state : MemberState.Alive);

        static MemberState StateOfLast(ClusterView view) => view.Members[^1].State;
    }

    [Test]
    public void OwnersOf_AnyKey_AreThoseOfTheTableThePrimaryFirst()
    {
        using var cluster = new InMemoryCluster("a", "b", "c");
        var view = new DistCacheCluster(cluster.Nodes[0].Replicator, NullLogger.Instance).View;

        Assert.Multiple(() =>
        {
            foreach (var key in Enumerable.Range(0, 500).Select(i => $"schlüssel {i}").Append("").Append(new string('k', 4_096)))
            {
                var expected = cluster.OwnersOf(Encoding.UTF8.GetBytes(key)).Select(node => node.Identity.Name.ToString());
                Assert.That(view.OwnersOf(key), Is.EqualTo(expected).And.Length.EqualTo(2), key);
            }
        });
    }

    [Test]
    public void OwnersOf_KeyThatTheCacheDoesNotTake_Throws()
    {
        using var cluster = new InMemoryCluster("a");
        var view = new DistCacheCluster(cluster.Nodes[0].Replicator, NullLogger.Instance).View;

        Assert.Multiple(() =>
        {
            Assert.That(() => view.OwnersOf(null!), Throws.ArgumentNullException);
            Assert.That(() => view.OwnersOf("\ud800"), Throws.ArgumentException, "ill-formed");
            Assert.That(() => view.OwnersOf(new string('k', 4_097)), Throws.ArgumentException, "too long");
        });
    }

    /// <summary>Whatever was queued before has begun: the pool's queue is first in, first out.</summary>
    private static Task PassThreadPoolAsync()
    {
        var passed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        ThreadPool.UnsafeQueueUserWorkItem(static passed => passed.SetResult(), passed, preferLocal: false);
        return passed.Task.WaitAsync(Patience.Time);
    }
}
