using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace DistCache.Tests.Hosting;

/// <summary>What operators see: instruments, activities, health.</summary>
[CancelAfter(Patience.Milliseconds)]
public sealed class ObservabilityTests
{
    private static readonly DistributedCacheEntryOptions Forever = new();

    [Test]
    public async Task Operations_OfEachKind_AreCountedByResultAndTimed(CancellationToken token)
    {
        using var services = new ServiceCollection().AddDistCache(options => options.Memory.MaximumValueBytes = 10).Services.BuildServiceProvider();
        var cache = (IBufferDistributedCache)services.GetRequiredService<IDistributedCache>();
        using var measured = new Measured();

        cache.Set("key", [1], Forever);
        await cache.SetAsync("key", [2], Forever, token);
        cache.Get("key");
        await cache.GetAsync("none", token);
        cache.TryGet("key", new System.Buffers.ArrayBufferWriter<byte>());
        await cache.TryGetAsync("none", new System.Buffers.ArrayBufferWriter<byte>(), token);
        cache.Refresh("key");
        await cache.RefreshAsync("key", token);
        cache.Remove("key");
        await cache.RemoveAsync("key", token);
        Assert.That(() => cache.Set("key", new byte[11], Forever), Throws.ArgumentException);
        Assert.That(async () => await cache.SetAsync("key", new byte[11], Forever, token), Throws.ArgumentException);

        Assert.Multiple(() =>
        {
            Assert.That(measured["distcache.operations", "operation=get", "result=hit"], Is.EqualTo(2));
            Assert.That(measured["distcache.operations", "operation=get", "result=miss"], Is.EqualTo(2));
            Assert.That(measured["distcache.operations", "operation=set", "result=ok"], Is.EqualTo(2));
            Assert.That(measured["distcache.operations", "operation=set", "result=failed"], Is.EqualTo(2));
            Assert.That(measured["distcache.operations", "operation=refresh", "result=ok"], Is.EqualTo(2));
            Assert.That(measured["distcache.operations", "operation=remove", "result=ok"], Is.EqualTo(2));
            Assert.That(measured["distcache.operation.duration", "operation=get"], Is.GreaterThan(0).And.LessThan(60), "seconds");
        });
    }

    [Test]
    public void Gauges_OfANode_TellItsMemoryAndItsMembers()
    {
        using var measured = new Measured();
        var name = $"node-{Guid.NewGuid():N}";
        var services = new ServiceCollection().AddDistCache(options =>
        {
            options.Cluster.NodeName = name;
            options.Memory.SizeLimit = 8 << 20;
        }).Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        for (var i = 0; i < 100; i++)
        {
            cache.Set($"key{i}", new byte[100], Forever);
        }

        measured.Look();
        Assert.Multiple(() =>
        {
            Assert.That(measured["distcache.memory.entries", $"node={name}"], Is.EqualTo(100));
            Assert.That(measured["distcache.memory.used", $"node={name}"], Is.InRange(100 * 100, 8 << 20));
            Assert.That(measured["distcache.memory.limit", $"node={name}"], Is.EqualTo(8 << 20));
            Assert.That(measured["distcache.members", $"node={name}", "state=Alive"], Is.EqualTo(1));
            Assert.That(measured["distcache.members", $"node={name}", "state=Dead"], Is.Zero);
            Assert.That(measured["distcache.takeover.slots", $"node={name}"], Is.Zero);
        });

        services.Dispose();
        measured.Clear();
        measured.Look();
        Assert.That(measured.Has("distcache.memory.entries", $"node={name}"), Is.False, "a disposed node is not measured");
    }

    [Test]
    public async Task Activities_WhereSomebodyListens_NameTheOperationAndNeitherKeyNorValue(CancellationToken token)
    {
        using var services = new ServiceCollection().AddDistCache().Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        List<Activity> ended = [];
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == "DistCache",
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = ended.Add,
        };
        ActivitySource.AddActivityListener(listener);

        await cache.SetAsync("secret-key", [1], Forever, token);
        cache.Get("secret-key");
        Assert.That(async () => await cache.SetAsync(null!, [1], Forever, token), Throws.ArgumentNullException);

        Assert.Multiple(() =>
        {
            Assert.That(ended.Select(activity => activity.OperationName), Is.EqualTo(new[] { "distcache set", "distcache get", "distcache set" }));
            Assert.That(ended.Select(activity => activity.GetTagItem("distcache.result")), Is.EqualTo(new[] { "ok", "hit", "failed" }));
            Assert.That(ended.Select(activity => activity.Status), Is.EqualTo(new[] { ActivityStatusCode.Unset, ActivityStatusCode.Unset, ActivityStatusCode.Error }));
            Assert.That(ended.SelectMany(activity => activity.TagObjects).Select(tag => $"{tag.Value}"), Has.None.Contains("secret-key"));
            Assert.That(Activity.Current, Is.Null);
        });
    }

    [Test]
    public void Operations_WhereNobodyListens_AllocateNothing()
    {
        using var services = new ServiceCollection().AddDistCache().Services.BuildServiceProvider();
        var cache = (IBufferDistributedCache)services.GetRequiredService<IDistributedCache>();
        cache.Set("key", new byte[100], Forever);
        var destination = new System.Buffers.ArrayBufferWriter<byte>(1_000);
        Get();

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            Get();
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);

        void Get()
        {
            destination.ResetWrittenCount();
            cache.TryGet("key", destination);
            cache.TryGetAsync("key", destination, CancellationToken.None).GetAwaiter().GetResult();
        }
    }

    [Test]
    public async Task Health_OfALocalNode_IsGood(CancellationToken token)
    {
        var services = new ServiceCollection().AddLogging();
        services.AddDistCache();
        services.AddHealthChecks().AddDistCache(tags: ["ready"]);
        using var provider = services.BuildServiceProvider();

        var report = await provider.GetRequiredService<HealthCheckService>().CheckHealthAsync(token);

        Assert.That(report.Entries["distcache"].Status, Is.EqualTo(HealthStatus.Healthy), report.Entries["distcache"].Description);
        Assert.That(report.Entries["distcache"].Tags, Is.EqualTo(new[] { "ready" }));
    }

    [Test]
    public async Task Health_OfANodeWithSeeds_FollowsItsLife(CancellationToken token)
    {
        var ports = FreePorts(2);
        using var first = Build(ports[0], ports);
        using var second = Build(ports[1], ports);
        Assert.That((await CheckAsync(first, token)).Status, Is.EqualTo(HealthStatus.Unhealthy), "it has not started");

        await first.StartAsync(token);
        var alone = await CheckAsync(first, token);
        Assert.That(alone.Status, Is.EqualTo(HealthStatus.Degraded), "its seed is not there");
        Assert.That(alone.Description, Does.Contain("although there are seeds"));

        await second.StartAsync(token);
        await WaitAsync(async () => (await CheckAsync(first, token)).Status == HealthStatus.Healthy && (await CheckAsync(second, token)).Status == HealthStatus.Healthy, token);
        Assert.That((await CheckAsync(first, token)).Data["members"], Is.EqualTo(2));

        await second.StopAsync(token);
        Assert.That((await CheckAsync(second, token)).Status, Is.EqualTo(HealthStatus.Unhealthy), "it has left");
        await first.StopAsync(token);
    }

    private static IHost Build(int port, int[] ports)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.ClearProviders();
        builder.Services.AddDistCache(options =>
        {
            options.Cluster.Listen = $"127.0.0.1:{port}";
            options.Cluster.Profile = ClusterProfile.Fast;
            Array.ForEach(ports, seed => options.Cluster.Seeds.Add($"127.0.0.1:{seed}"));
        });
        builder.Services.AddHealthChecks().AddDistCache();
        return builder.Build();
    }

    private static async Task<HealthReportEntry> CheckAsync(IHost host, CancellationToken token) =>
        (await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(token)).Entries["distcache"];

    /// <summary>Bounded by the test's own time: only the nodes know when.</summary>
    private static async Task WaitAsync(Func<Task<bool>> condition, CancellationToken token)
    {
        while (!await condition())
        {
            await Task.Delay(20, token);
        }
    }

    private static int[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToList();
        listeners.ForEach(listener => listener.Start());
        var ports = listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port).ToArray();
        listeners.ForEach(listener => listener.Dispose());
        return ports;
    }

    /// <summary>What the library's instruments tell, added up by name and tags.</summary>
    private sealed class Measured : IDisposable
    {
        private readonly MeterListener _listener = new();
        private readonly Dictionary<string, double> _sums = [];

        public Measured()
        {
            _listener.InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Meter.Name == "DistCache")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            };
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
            _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags));
            _listener.Start();
        }

        public double this[string name, params string[] tags] => _sums[NameOf(name, tags)];

        public bool Has(string name, params string[] tags) => _sums.ContainsKey(NameOf(name, tags));

        public void Look() => _listener.RecordObservableInstruments();

        public void Clear() => _sums.Clear();

        public void Dispose() => _listener.Dispose();

        private void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            var name = NameOf(instrument.Name, tags.ToArray().Select(tag => $"{tag.Key}={tag.Value}"));
            lock (_sums)
            {
                _sums[name] = _sums.GetValueOrDefault(name) + value;
            }
        }

        private static string NameOf(string name, IEnumerable<string> tags) => string.Join(' ', tags.Prepend(name));
    }
}
