using System.Net;
using System.Net.Sockets;
using System.Text;
using DistCache.Hosting;
using DistCache.Tests.Membership;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace DistCache.Tests.Hosting;

/// <summary>Whole nodes, host and wire and all, in one process: what the options do to a cluster.</summary>
[CancelAfter(Patience.Milliseconds)]
public sealed class NodeClusterTests
{
    private static readonly DistributedCacheEntryOptions Forever = new();

    private readonly List<IHost> _hosts = [];
    private LineLogger _log = null!;

    [SetUp]
    public void SetUp() => _log = new LineLogger();

    [TearDown]
    public async Task TearDown()
    {
        foreach (var host in _hosts)
        {
            using var limit = new CancellationTokenSource(Patience.Time);
            await host.StopAsync(limit.Token);
            host.Dispose();
        }
    }

    [TestCase(null)]
    [TestCase("a secret of more than 16 characters")]
    public async Task TwoNodes_ThatKnowEachOther_ShareTheirEntries(string? secret, CancellationToken token)
    {
        var ports = FreePorts(2);
        var first = await StartAsync(ports[0], ports, secret, token);
        var second = await StartAsync(ports[1], ports, secret, token);
        await WaitAsync(() => OwnersOf(first) == 2 && OwnersOf(second) == 2, token);

        for (var i = 0; i < 20; i++)
        {
            await CacheOf(first).SetAsync($"key{i}", [(byte)i], Forever, token);
            Assert.That(await CacheOf(second).GetAsync($"key{i}", token), Is.EqualTo(new[] { (byte)i }));
            await CacheOf(second).RemoveAsync($"key{i}", token);
            Assert.That(CacheOf(first).Get($"key{i}"), Is.Null, "also by the blocking call");
        }
    }

    [Test]
    public async Task TwoNodes_OfDifferentSecrets_StayApart(CancellationToken token)
    {
        var ports = FreePorts(2);
        var first = await StartAsync(ports[0], ports, "a secret of more than 16 characters", token);
        var second = await StartAsync(ports[1], ports, "another one of more than 16 characters", token);
        await CacheOf(first).SetAsync("key", [1], Forever, token);
        Assert.Multiple(() =>
        {
            Assert.That(CacheOf(second).Get("key"), Is.Null);
            Assert.That(ViewOf(second).Members, Has.Length.EqualTo(1));
        });
    }

    [Test]
    public async Task ANode_ThatStops_HandsOverAndIsGone(CancellationToken token)
    {
        var ports = FreePorts(2);
        var first = await StartAsync(ports[0], ports, null, token);
        var second = await StartAsync(ports[1], ports, null, token);
        await WaitAsync(() => OwnersOf(first) == 2 && OwnersOf(second) == 2, token);
        for (var i = 0; i < 50; i++)
        {
            await CacheOf(second).SetAsync($"key{i}", [(byte)i], Forever, token);
        }

        await second.StopAsync(token);

        await WaitAsync(() => OwnersOf(first) == 1, token);
        for (var i = 0; i < 50; i++)
        {
            Assert.That(await CacheOf(first).GetAsync($"key{i}", token), Is.EqualTo(new[] { (byte)i }));
        }

        var stopped = CacheOf(second);
        Assert.Multiple(() =>
        {
            Assert.That(() => stopped.GetAsync("key1", token), Throws.TypeOf<DistCacheUnavailableException>().With.Message.Contains("this node has stopped"));
            Assert.That(() => stopped.Get("key1"), Throws.TypeOf<DistCacheUnavailableException>().With.Message.Contains("this node has stopped"));
            Assert.That(() => stopped.SetAsync("key1", [2], Forever, token), Throws.TypeOf<DistCacheUnavailableException>().With.Message.Contains("this node has stopped"));
            Assert.That(() => stopped.Remove("key1"), Throws.TypeOf<DistCacheUnavailableException>().With.Message.Contains("this node has stopped"));
        });
        Assert.That(await CacheOf(first).GetAsync("key1", token), Is.EqualTo(new byte[] { 1 }), "what was refused changed nothing");
    }

    /// <summary>Nobody else has what it holds; the host's limit is no reason to keep it.</summary>
    [Test]
    public async Task ANode_ThatStopsWhereTheHostHasNoLimit_HandsOver(CancellationToken token)
    {
        var ports = FreePorts(2);
        var first = await StartAsync(ports[0], ports, null, replicas: 0, token, Timeout.InfiniteTimeSpan);
        var second = await StartAsync(ports[1], ports, null, replicas: 0, token, Timeout.InfiniteTimeSpan);
        await WaitAsync(() => OwnersOf(first) == 2 && OwnersOf(second) == 2, token);
        for (var i = 0; i < 50; i++)
        {
            await CacheOf(first).SetAsync($"key{i}", [(byte)i], Forever, token);
        }

        await second.StopAsync(token);

        await WaitAsync(() => OwnersOf(first) == 1, token);
        var lost = Enumerable.Range(0, 50).Where(i => CacheOf(first).Get($"key{i}") is not [var value] || value != i);
        Assert.That(lost, Is.Empty);
    }

    /// <summary>There is nobody to disagree with.</summary>
    [Test]
    public async Task ALoneNode_ThatHasStopped_IsALocalCache(CancellationToken token)
    {
        var ports = FreePorts(1);
        var host = await StartAsync(ports[0], ports, null, token);
        var cache = CacheOf(host);
        await cache.SetAsync("key", [1], Forever, token);

        await host.StopAsync(token);

        Assert.That(await cache.GetAsync("key", token), Is.EqualTo(new byte[] { 1 }));
        await cache.RemoveAsync("key", token);
        Assert.That(await cache.GetAsync("key", token), Is.Null);
        cache.Set("key", [2], Forever);
        Assert.That(cache.Get("key"), Is.EqualTo(new byte[] { 2 }));
        cache.Remove("key");
        Assert.That(cache.Get("key"), Is.Null);
    }

    [Test]
    public async Task ANode_ThatStopsWhileItIsAsked_AnswersFirst(CancellationToken token)
    {
        var ports = FreePorts(2);
        var first = await StartAsync(ports[0], ports, null, replicas: 0, token);
        var second = await StartAsync(ports[1], ports, null, replicas: 0, token);
        await WaitAsync(() => OwnersOf(first) == 2 && OwnersOf(second) == 2, token);
        var large = new byte[16 << 20];
        var keys = Enumerable.Range(0, 1_000).Select(i => $"large{i}").Where(key => ViewOf(first).OwnersOf(key)[0] == $"127.0.0.1:{ports[0]}").Take(2).ToArray();
        foreach (var key in keys)
        {
            await CacheOf(first).SetAsync(key, large, Forever, token);
        }

        // Only the other node has these: nothing can be answered from here, and whenever it closes some reads are under way.
        var readers = keys.Select(key => ReadUntilRefusedAsync(CacheOf(second), key)).ToArray();
        var writes = keys.Select(key => CacheOf(second).SetAsync($"{{{key}}} written", large, Forever, token)).ToArray();
        var small = Enumerable.Range(0, 100).Select(i => CacheOf(second).SetAsync($"small{i}", [1], Forever, token)).ToArray();
        await second.Services.GetRequiredService<Node>().StopAsync(TimeSpan.MaxValue);

        var answers = (await Task.WhenAll(readers)).SelectMany(lengths => lengths).ToArray();
        Assert.That(answers, Is.Not.Empty.And.All.EqualTo(large.Length));
        Assert.That(() => Task.WhenAll([.. writes, .. small]), Throws.Nothing);

        async Task<List<int>> ReadUntilRefusedAsync(IDistributedCache cache, string key)
        {
            List<int> lengths = [];
            while (true)
            {
                var read = cache.GetAsync(key, token);
                var isRefused = read.IsFaulted;
                try
                {
                    lengths.Add((await read)?.Length ?? 0);
                }
                catch (DistCacheUnavailableException exception) when (isRefused && exception.Message.Contains("this node has stopped", StringComparison.Ordinal))
                {
                    return lengths;
                }
            }
        }
    }

    /// <summary>A name is not looked up for that: one in capitals may lead anywhere.</summary>
    [TestCase("LOCALHOST", null, true)]
    [TestCase("LOCALHOST", "a secret of more than 16 characters", false)]
    [TestCase("127.0.0.1", null, false)]
    public async Task Log_OfANodeWhosePortAnybodyMayReach_WarnsOfIt(string host, string? secret, bool isWarned)
    {
        var options = new DistCacheOptions();
        options.Cluster.Listen = $"{host}:0";
        options.Cluster.SharedSecret = secret;
        var log = new CacheLogProvider(_log);
        using var loggers = LoggerFactory.Create(builder => builder.AddProvider(log));
        await using var node = new Node(Options.Create(options), TimeProvider.System, loggers);

        await node.StartAsync(default);

        Assert.That(_log.Lines, Has.Exactly(isWarned ? 1 : 0).Matches<string>(line => line.Contains("without a shared secret or mutual TLS", StringComparison.Ordinal)));
    }

    /// <summary>Every level, the exceptions and all; in good days, when a node stops under load, and when its keys are refused.</summary>
    [Test]
    public async Task Log_OfNodesThatWorkStopAndRefuse_TellsNoKeyAndNoValue(CancellationToken token)
    {
        const string Marker = "nobody-may-read-this";
        var ports = FreePorts(2);
        var first = await StartAsync(ports[0], ports, null, token);
        var second = await StartAsync(ports[1], ports, null, token);
        await WaitAsync(() => OwnersOf(first) == 2 && OwnersOf(second) == 2, token);
        var large = new byte[200_000];
        Encoding.UTF8.GetBytes(Marker).CopyTo(large, 0);
        for (var i = 0; i < 60; i++)
        {
            var stopping = i == 30 ? second.StopAsync(token) : Task.CompletedTask;
            await TryAsync(() => CacheOf(first).SetAsync($"{Marker}{i}", i % 10 == 0 ? large : Encoding.UTF8.GetBytes(Marker), Forever, token));
            await TryAsync(() => CacheOf(second).GetAsync($"{Marker}{i}", token));
            await TryAsync(() => CacheOf(second).RefreshAsync($"{Marker}{i}", token));
            await TryAsync(() => CacheOf(first).RemoveAsync($"{Marker}{i / 2}", token));
            await TryAsync(() => CacheOf(first).SetAsync(string.Concat(Enumerable.Repeat(Marker, 300)), large, Forever, token));
            await stopping;
        }

        Assert.That(_log.Lines, Is.Not.Empty);
        Assert.That(_log.Lines, Has.None.Contains(Marker));

        static async Task TryAsync(Func<Task> operation)
        {
            try
            {
                await operation();
            }
            catch (Exception exception) when (exception is ArgumentException or DistCacheUnavailableException or ObjectDisposedException)
            {
                // The caller knows its key; the log must not.
            }
        }
    }

    /// <summary>It throws on threads of the pool too, where lanes are dialled and break: nobody stands there to catch it.</summary>
    [Test]
    public async Task ANode_WhoseLogThrows_JoinsAndServesOnAfterItsPeersDeath([Values] bool throwsFromTheStart, CancellationToken token)
    {
        var log = new FaultyLogger { IsFaulty = throwsFromTheStart };
        var ports = FreePorts(2);
        var first = await StartAsync(ports[0], ports, null, replicas: 1, token, log: log);
        var second = await StartAsync(ports[1], ports, null, token);
        await WaitAsync(() => OwnersOf(first) == 2 && OwnersOf(second) == 2, token);
        for (var i = 0; i < 50; i++)
        {
            await CacheOf(first).SetAsync($"key{i}", [(byte)i], Forever, token);
            Assert.That(await CacheOf(second).GetAsync($"key{i}", token), Is.EqualTo(new[] { (byte)i }));
        }

        log.IsFaulty = true;
        await second.Services.GetRequiredService<Node>().DisposeAsync();
        await WaitAsync(() => OwnersOf(first) == 1, token);

        for (var i = 0; i < 50; i++)
        {
            Assert.That(await CacheOf(first).GetAsync($"key{i}", token), Is.EqualTo(new[] { (byte)i }));
            await CacheOf(first).SetAsync($"key{i}", [1], Forever, token);
        }

        Assert.That(log.Lines, Is.GreaterThan(2), "of the lanes that broke and of the member that died");
    }

    [Test]
    public async Task Nodes_WhoseApplicationsBlockAfterTheStart_HearTheirPeers(CancellationToken token)
    {
        var ports = FreePorts(3);
        using var isOver = new ManualResetEventSlim();
        var started = ports.Select(_ => new TaskCompletionSource<IHost>(TaskCreationOptions.RunContinuationsAsynchronously)).ToArray();
        var applications = ports.Select((port, index) => Task.Run(
            async () =>
            {
                started[index].SetResult(await StartAsync(port, ports, null, token).ConfigureAwait(false));

                // As a console program does that waits for a key after it has started its host.
                isOver.Wait(token);
            },
            token)).ToArray();
        try
        {
            var hosts = await Task.WhenAll(started.Select(host => host.Task));

            // Only what the others answer ends a takeover.
            await WaitAsync(() => hosts.All(host => OwnersOf(host) == 3 && host.Services.GetRequiredService<Node>().Read().ImportingSlots == 0), token);
        }
        finally
        {
            isOver.Set();
            await Task.WhenAll(applications);
        }
    }

    private Task<IHost> StartAsync(int port, int[] ports, string? secret, CancellationToken token) => StartAsync(port, ports, secret, replicas: 1, token);

    private async Task<IHost> StartAsync(
        int port, int[] ports, string? secret, int replicas, CancellationToken token, TimeSpan? shutdownTimeout = null, ILogger? log = null)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.ClearProviders().AddProvider(new CacheLogProvider(log ?? _log)).SetMinimumLevel(LogLevel.Trace);
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = shutdownTimeout ?? options.ShutdownTimeout);
        builder.Services.AddDistCache(options =>
        {
            options.Cluster.Listen = $"127.0.0.1:{port}";
            options.Cluster.Profile = ClusterProfile.Fast;
            options.Cluster.SharedSecret = secret;
            options.Memory.SizeLimit = 256 << 20;
            options.Replication.OnReadFailure = OnReadFailure.Throw;
            options.Replication.ReplicaCount = replicas;
            foreach (var seed in ports)
            {
                options.Cluster.Seeds.Add($"127.0.0.1:{seed}");
            }
        });
        var host = builder.Build();
        lock (_hosts)
        {
            _hosts.Add(host);
        }

        await host.StartAsync(token);
        return host;
    }

    private static IDistributedCache CacheOf(IHost host) => host.Services.GetRequiredService<IDistributedCache>();

    private static ClusterView ViewOf(IHost host) => host.Services.GetRequiredService<DistCacheCluster>().View;

    private static int OwnersOf(IHost host) => ViewOf(host).Members.Count(member => member is { State: MemberState.Alive, ShareOfSlots: > 0 });

    private static async Task WaitAsync(Func<bool> condition, CancellationToken token)
    {
        while (!condition())
        {
            token.ThrowIfCancellationRequested();
            await Task.Delay(20, token);
        }
    }

    private static int[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToList();
        listeners.ForEach(listener => listener.Start());
        var ports = listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port).ToArray();
        listeners.ForEach(listener => listener.Stop());
        return ports;
    }

    /// <summary>What the library writes; a host does not stand a log that throws.</summary>
    private sealed class CacheLogProvider(ILogger logger) : ILoggerProvider
    {
        public ILogger CreateLogger(string categoryName) => categoryName == "DistCache" ? logger : NullLogger.Instance;

        public void Dispose()
        {
        }
    }
}
