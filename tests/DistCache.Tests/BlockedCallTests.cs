using System.Threading.Tasks.Sources;
using DistCache.Tests.Membership;
using DistCache.Tests.Replication;
using Microsoft.Extensions.Caching.Distributed;
using NUnit.Framework.Constraints;

namespace DistCache.Tests;

/// <summary>Calls that hold their thread, of keys that "b" leads, through "a". The cluster's clock stands still: nothing ends by itself.</summary>
[CancelAfter(Patience.Milliseconds)]
public sealed class BlockedCallTests
{
    private LineLogger _logger = null!;
    private DistCacheOptions _options = null!;
    private InMemoryCluster _cluster = null!;
    private DistributedCache _cache = null!;

    [SetUp]
    public void StartTwoNodes()
    {
        _logger = new LineLogger();
        _options = new DistCacheOptions();
        _options.Replication.Timeout = TimeSpan.FromMilliseconds(10);
        _cluster = new InMemoryCluster(new ReplicationOptions { ReplicaCount = 0 }, "a", "b");
        var node = _cluster.Nodes[0];
        _cache = new DistributedCache(
            node.Replicator.Ownership, node.Memory, node.Replicator.Reads, node.Replicator.Writes, node.Clock, _cluster.Time, _options, _logger);
        node.Replicator.Reads.Unanswered = _cache.Unanswered;
        node.Replicator.Writes.Unacknowledged = _cache.ThrowUnacknowledged;
    }

    [TearDown]
    public void StopTwoNodes()
    {
        _cache.Dispose();
        _cluster.Dispose();
    }

    [Test]
    public async Task Calls_ThatNoThreadCompletes_EndAsTheOptionsSayAndAreLoggedOnce([Values] OnReadFailure onFailure, [Values] bool isOnPool)
    {
        _options.Replication.OnReadFailure = onFailure;
        var key = KeyOfB();
        _cluster.Silent.Add(_cluster.Nodes[1]);
        for (var i = 0; i < 2; i++)
        {
            Constraint expected = onFailure == OnReadFailure.Miss ? Throws.Nothing : Throws.InstanceOf<DistCacheUnavailableException>();
            Assert.That(() => RunAsync(() => _cache.Get(key), isOnPool), expected);
            Assert.That(() => RunAsync(() => Set(key, 1), isOnPool), Throws.InstanceOf<DistCacheUnavailableException>());
        }

        Assert.That(_logger.Lines.Where(line => line.Contains("SetMinThreads", StringComparison.Ordinal)), Has.Exactly(1).Items);
        _cluster.Time.Jump(TimeSpan.FromMinutes(1));
        _options.Replication.OnReadFailure = OnReadFailure.Miss;
        await RunAsync(() => _cache.Get(key), isOnPool);
        Assert.That(_logger.Lines.Where(line => line.Contains("SetMinThreads", StringComparison.Ordinal)), Has.Exactly(2).Items, "a minute later");
    }

    [Test]
    public void Wait_ForWhatEndsWhileOthersRun_TakesNoSleep([Values(0, 1, 3)] int looks)
    {
        var operation = new EndsAfterLooks(looks);
        Assert.Multiple(() =>
        {
            Assert.That(BlockedCalls.EndsSoon(new ValueTask<bool>(operation, 0)), Is.True);
            Assert.That(operation.Looks, Is.InRange(looks + 1, looks + 2), "it is not looked at any more once it has ended");
        });
    }

    [Test]
    public void Wait_ForWhatDoesNotEnd_GivesTheProcessorAwayAFewTimesOnly()
    {
        var (read, write) = (new EndsAfterLooks(int.MaxValue), new EndsAfterLooks(int.MaxValue));
        Assert.Multiple(() =>
        {
            Assert.That(BlockedCalls.EndsSoon(new ValueTask<bool>(read, 0)), Is.False);
            Assert.That(BlockedCalls.EndsSoon(new ValueTask(write, 0)), Is.False);
            Assert.That(read.Looks, Is.InRange(2, 50));
            Assert.That(write.Looks, Is.InRange(2, 50));
        });
    }

    private byte[]? Set(string key, byte value)
    {
        _cache.Set(key, [value], new DistributedCacheEntryOptions());
        return null;
    }

    private static Task<byte[]?> RunAsync(Func<byte[]?> call, bool isOnPool) =>
        Task.Factory.StartNew(call, CancellationToken.None, isOnPool ? TaskCreationOptions.None : TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private string KeyOfB() => System.Text.Encoding.UTF8.GetString(InMemoryCluster.KeyLedBy(_cluster.Nodes[0], _cluster.Nodes[1]));

    /// <summary>Has ended when it was looked at more often than that.</summary>
    private sealed class EndsAfterLooks(int looks) : IValueTaskSource<bool>, IValueTaskSource
    {
        public int Looks { get; private set; }

        public ValueTaskSourceStatus GetStatus(short token) => ++Looks > looks ? ValueTaskSourceStatus.Succeeded : ValueTaskSourceStatus.Pending;

        public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            throw new NotSupportedException();

        bool IValueTaskSource<bool>.GetResult(short token) => true;

        void IValueTaskSource.GetResult(short token)
        {
        }
    }
}
