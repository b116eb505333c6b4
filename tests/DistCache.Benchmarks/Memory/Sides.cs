using System.Buffers;
using DistCache.Entries;
using DistCache.Memory;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Options;

namespace DistCache.Benchmarks.Memory;

/// <summary>The two that are compared, as an application meets them: keys are strings.</summary>
internal abstract class Side : IDisposable
{
    public abstract string Name { get; }

    /// <summary>One of the two by name.</summary>
    /// <param name="name">"tier" for ours.</param>
    /// <param name="budget">What ours may take.</param>
    /// <param name="shards">How many shards ours has; 0 for as many as it chooses.</param>
    public static Side Create(string name, long budget, int shards = 0) => name == "tier" ? new TierSide(budget, shards) : new MicrosoftSide();

    public abstract void Set(string key, byte[] value);

    /// <summary>Reads into a buffer, or as an array if that is all the side can do; the value's length, -1 for a miss.</summary>
    public abstract int Get(string key, byte[] buffer);

    public virtual void Dispose()
    {
    }

    /// <summary>Who gets a value looks at it: at its first and last byte at least.</summary>
    protected static int Consume(ReadOnlySpan<byte> value) => value[0] == value[^1] ? value.Length : 0;
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
