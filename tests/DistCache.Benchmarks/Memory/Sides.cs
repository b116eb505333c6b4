using System.Buffers;
using DistCache.Entries;
using DistCache.Memory;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace DistCache.Benchmarks.Memory;

/// <summary>What is compared, as an application meets it: keys are strings.</summary>
internal abstract class Side : IDisposable
{
    public abstract string Name { get; }

    /// <summary>One of them by name.</summary>
    /// <param name="name">Of ours "cache", the public face of a node, or "tier", its memory alone.</param>
    /// <param name="budget">What ours may take.</param>
    /// <param name="shards">How many shards the tier has; 0 for as many as it chooses.</param>
    public static Side Create(string name, long budget, int shards = 0) => name switch
    {
        "cache" => new CacheSide(budget),
        "tier" => new TierSide(budget, shards),
        "microsoft" => new MicrosoftSide(),
        _ => throw new ArgumentException($"There is no side {name}."),
    };

    public abstract void Set(string key, byte[] value);

    /// <summary>Reads into a buffer, or as an array if that is all the side can do; the value's length, -1 for a miss.</summary>
    public abstract int Get(string key, byte[] buffer);

    public virtual void Dispose()
    {
    }

    /// <summary>Who gets a value looks at it: at its first and last byte at least.</summary>
    protected static int Consume(ReadOnlySpan<byte> value) => value[0] == value[^1] ? value.Length : 0;
}

/// <summary>A node without peers, by its public face: what a program gets that replaces one registration by the other.</summary>
internal sealed class CacheSide : Side
{
    private readonly ServiceProvider _provider;
    private readonly IBufferDistributedCache _cache;
    private readonly DistributedCacheEntryOptions _options = new();

    [ThreadStatic]
    private static PooledBuffer? _destination;

    public CacheSide(long budget)
    {
        var services = new ServiceCollection();
        services.AddDistCache(options => options.Memory.SizeLimit = budget);
        _provider = services.BuildServiceProvider();
        _cache = (IBufferDistributedCache)_provider.GetRequiredService<IDistributedCache>();
    }

    public override string Name => "DistCache";

    public override void Set(string key, byte[] value) => _cache.Set(key, value, _options);

    public override int Get(string key, byte[] buffer)
    {
        var destination = _destination ??= new PooledBuffer();
        destination.Start(buffer);
        return _cache.TryGet(key, destination) ? Consume(destination.Written) : -1;
    }

    public override void Dispose() => _provider.Dispose();

    /// <summary>A buffer that the caller has.</summary>
    private sealed class PooledBuffer : IBufferWriter<byte>
    {
        private byte[] _buffer = [];
        private int _written;

        public ReadOnlySpan<byte> Written => _buffer.AsSpan(0, _written);

        public void Start(byte[] buffer) => (_buffer, _written) = (buffer, 0);

        public void Advance(int count) => _written += count;

        public Memory<byte> GetMemory(int sizeHint = 0) => _buffer.AsMemory(_written);

        public Span<byte> GetSpan(int sizeHint = 0) => _buffer.AsSpan(_written);
    }
}

/// <summary>The memory tier behind what the public face does on top of it: encoding the key, stamping a version.</summary>
internal sealed class TierSide(long budget, int shards) : Side
{
    private readonly HybridClock _clock = new(TimeProvider.System);

    public MemoryTier Tier { get; } = new(budget, Eviction.Lru, TimeProvider.System, null, new TierTuning(shards));

    public override string Name => "DistCache memory tier";

    public override void Set(string key, byte[] value)
    {
        Span<byte> buffer = stackalloc byte[64];
        var version = new EntryVersion(_clock.Next(), 1);
        Tier.Apply(EntryKey.Encode(key, buffer, 64), new EntryInfo(version, Expiration.None, 0, EntryFlags.None), new ReadOnlySequence<byte>(value), out _);
    }

    public override int Get(string key, byte[] buffer)
    {
        Span<byte> keyBuffer = stackalloc byte[64];
        var outcome = Tier.Read(EntryKey.Encode(key, keyBuffer, 64), buffer, true, out _, out var length);
        return outcome == LookupOutcome.Hit ? Consume(buffer.AsSpan(0, length)) : -1;
    }

    public override void Dispose() => Tier.Dispose();
}

internal sealed class MicrosoftSide : Side
{
    private readonly MemoryDistributedCache _cache = new(Options.Create(new MemoryDistributedCacheOptions { SizeLimit = long.MaxValue }));
    private readonly DistributedCacheEntryOptions _options = new();

    public override string Name => "MemoryDistributedCache";

    public override void Set(string key, byte[] value) => _cache.Set(key, value.ToArray(), _options);

    public override int Get(string key, byte[] buffer) => _cache.Get(key) is { } value ? Consume(value) : -1;
}
