using System.Buffers;
using System.Text;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;

namespace DistCache.Tests;

/// <summary>A cache without peers, a clock to turn, and each call in the one form or the other.</summary>
public abstract class CacheContract(bool isAsync)
{
    private protected static readonly byte[] Value = Encoding.UTF8.GetBytes("value");

    private protected bool IsAsync => isAsync;

    private protected ManualTime Time { get; } = new();

    private protected ServiceProvider Services { get; private set; } = null!;

    private protected IBufferDistributedCache Cache { get; private set; } = null!;

    [SetUp]
    public void SetUp()
    {
        Services = new ServiceCollection().AddSingleton<TimeProvider>(Time).AddDistCache().Services.BuildServiceProvider();
        Cache = (IBufferDistributedCache)Services.GetRequiredService<IDistributedCache>();
    }

    [TearDown]
    public void TearDown() => Services.Dispose();

    private protected async Task<byte[]?> Get(string key) => isAsync ? await Cache.GetAsync(key) : Cache.Get(key);

    private protected async Task<bool> TryGet(string key, IBufferWriter<byte> destination) =>
        isAsync ? await Cache.TryGetAsync(key, destination) : Cache.TryGet(key, destination);

    private protected async Task Set(string key, byte[] value, DistributedCacheEntryOptions? options = null)
    {
        options ??= new DistributedCacheEntryOptions();
        if (isAsync)
        {
            await Cache.SetAsync(key, value, options);
        }
        else
        {
            Cache.Set(key, value, options);
        }
    }

    private protected async Task Remove(string key)
    {
        if (isAsync)
        {
            await Cache.RemoveAsync(key);
        }
        else
        {
            Cache.Remove(key);
        }
    }

    private protected async Task Refresh(string key)
    {
        if (isAsync)
        {
            await Cache.RefreshAsync(key);
        }
        else
        {
            Cache.Refresh(key);
        }
    }
}
