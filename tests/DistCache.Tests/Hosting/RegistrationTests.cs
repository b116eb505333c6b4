using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace DistCache.Tests.Hosting;

public sealed class RegistrationTests
{
    [Test]
    public void AddDistCache_Twice_ConfiguresTheSameNode()
    {
        using var services = new ServiceCollection()
            .AddDistCache(options => options.Memory.SizeLimit = 32 << 20).Services
            .AddDistCache(options => options.Replication.ReplicaCount = 2).Services.BuildServiceProvider();
        var options = services.GetRequiredService<IOptions<DistCacheOptions>>().Value;
        Assert.Multiple(() =>
        {
            Assert.That(services.GetServices<IDistributedCache>().Count(), Is.EqualTo(1));
            Assert.That(options.Memory.SizeLimit, Is.EqualTo(32 << 20));
            Assert.That(options.Replication.ReplicaCount, Is.EqualTo(2));
        });
    }

    [Test]
    public void LastRegistration_Wins_InBothDirections()
    {
        using var ours = new ServiceCollection().AddDistributedMemoryCache().AddDistCache().Services.BuildServiceProvider();
        using var again = new ServiceCollection().AddDistCache().Services.AddSingleton<IDistributedCache, Other>().AddDistCache().Services.BuildServiceProvider();
        using var theirs = new ServiceCollection().AddDistCache().Services.AddSingleton<IDistributedCache, Other>().BuildServiceProvider();
        Assert.Multiple(() =>
        {
            Assert.That(ours.GetRequiredService<IDistributedCache>(), Is.InstanceOf<IBufferDistributedCache>());
            Assert.That(again.GetRequiredService<IDistributedCache>(), Is.InstanceOf<IBufferDistributedCache>());
            Assert.That(theirs.GetRequiredService<IDistributedCache>(), Is.InstanceOf<Other>());
        });
    }

    [Test]
    public void Configuration_IsBound()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Cluster:Name"] = "shop",
            ["Cluster:Listen"] = "127.0.0.1:0",
            ["Cluster:Seeds:0"] = "10.0.0.5:7600",
            ["Cluster:Seeds:1"] = "10.0.0.6:7600",
            ["Cluster:Profile"] = "Fast",
            ["Memory:SizeLimit"] = "33554432",
            ["Memory:DefaultExpiration"] = "00:10:00",
            ["Replication:WriteAck"] = "All",
            ["Replication:Timeout"] = "00:00:00.5",
        }).Build();
        using var services = new ServiceCollection().AddDistCache(configuration).Services.BuildServiceProvider();
        var options = services.GetRequiredService<IOptions<DistCacheOptions>>().Value;
        Assert.Multiple(() =>
        {
            Assert.That(options.Cluster.Name, Is.EqualTo("shop"));
            Assert.That(options.Cluster.Seeds, Is.EqualTo(new[] { "10.0.0.5:7600", "10.0.0.6:7600" }));
            Assert.That(options.Cluster.Profile, Is.EqualTo(ClusterProfile.Fast));
            Assert.That(options.Memory.SizeLimit, Is.EqualTo(33_554_432));
            Assert.That(options.Memory.DefaultExpiration, Is.EqualTo(TimeSpan.FromMinutes(10)));
            Assert.That(options.Replication.WriteAck, Is.EqualTo(WriteAck.All));
            Assert.That(options.Replication.Timeout, Is.EqualTo(TimeSpan.FromMilliseconds(500)));
        });
    }

    [Test]
    public void NullArguments_AreRefused()
    {
        var services = new ServiceCollection();
        Assert.Multiple(() =>
        {
            Assert.That(() => ((IServiceCollection)null!).AddDistCache(), Throws.ArgumentNullException);
            Assert.That(() => services.AddDistCache((Action<DistCacheOptions>)null!), Throws.ArgumentNullException);
            Assert.That(() => services.AddDistCache((IConfiguration)null!), Throws.ArgumentNullException);
        });
    }

    private sealed class Other : IDistributedCache
    {
        public byte[]? Get(string key) => null;

        public Task<byte[]?> GetAsync(string key, CancellationToken token = default) => Task.FromResult<byte[]?>(null);

        public void Refresh(string key)
        {
        }

        public Task RefreshAsync(string key, CancellationToken token = default) => Task.CompletedTask;

        public void Remove(string key)
        {
        }

        public Task RemoveAsync(string key, CancellationToken token = default) => Task.CompletedTask;

        public void Set(string key, byte[] value, DistributedCacheEntryOptions options)
        {
        }

        public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default) => Task.CompletedTask;
    }
}
