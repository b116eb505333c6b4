using System.Buffers;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// Where a node keeps its entries: sharded, bounded in bytes, least recently used first out, expired ones swept without a read.
/// Thread-safe. Copies in and copies out. Nothing is allocated and no timer runs before the first write.
/// </summary>
internal sealed class MemoryTier : IDisposable
{
    /// <summary>How often expired entries are looked for.</summary>
    public static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(5);

    private const int MaximumShards = 16;

    /// <summary>A shard's budget is at least this, so that a small cache still holds an entry of some size.</summary>
    private const long MinimumShardBytes = 1 << 20;

    private readonly TimeProvider _time;
    private readonly Shard[] _shards;
    private readonly int[] _slotCounts = new int[Slot.Count];
    private readonly int _hashSeed = Random.Shared.Next();
    private readonly Lock _timerLock = new();
    private ITimer? _sweeper;
    private volatile bool _disposed;

    /// <param name="sizeLimit">The budget in bytes, overhead included.</param>
    /// <param name="eviction">Who goes first.</param>
    /// <param name="time">The clock that expiry goes by.</param>
    public MemoryTier(long sizeLimit, Eviction eviction, TimeProvider time)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(sizeLimit);
        Eviction = eviction;
        SizeLimit = sizeLimit;
        _time = time;
        var shards = (int)Math.Clamp(sizeLimit / MinimumShardBytes, 1, MaximumShards);
        _shards = new Shard[shards];
        for (var i = 0; i < shards; i++)
        {
            _shards[i] = new Shard(sizeLimit / shards, _slotCounts);
        }
    }

    public long SizeLimit { get; }

    public Eviction Eviction { get; }

    public MemoryStatistics Statistics
    {
        get
        {
            var sum = default(MemoryStatistics);
            foreach (var shard in _shards)
            {
                sum = shard.AddTo(sum);
            }

            return sum;
        }
    }

    /// <summary>
    /// Copies the value of <paramref name="key"/> to <paramref name="destination"/>. A hit or <see cref="LookupOutcome.TooSmall"/> with
    /// <paramref name="renew"/> counts as a use; <paramref name="info"/> is the entry as it was before that.
    /// </summary>
    public LookupOutcome Read(ReadOnlySpan<byte> key, Span<byte> destination, bool renew, out EntryInfo info, out int valueLength)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return ShardOf(key).Read(key, destination, renew, Now, out info, out valueLength);
    }

    /// <summary>Holds the entry, unless a higher version is held. A tombstone has no value.</summary>
    /// <param name="key">The key.</param>
    /// <param name="info">Its version, expiration and flags.</param>
    /// <param name="value">Its value; copied.</param>
    /// <param name="held">The version held afterwards; default where nothing is.</param>
    public ApplyOutcome Apply(ReadOnlySpan<byte> key, in EntryInfo info, in ReadOnlySequence<byte> value, out EntryVersion held)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        EnsureSweeper();
        return ShardOf(key).Apply(key, info, value, Now, out held);
    }

    /// <summary>Merges a use that another node saw; false if exactly this version is not held.</summary>
    public bool Renew(ReadOnlySpan<byte> key, EntryVersion version, long lastAccess) =>
        ShardOf(key).Renew(key, version, lastAccess, Now);

    /// <summary>Drops an entry without a trace, if it is held under exactly this version.</summary>
    public bool Forget(ReadOnlySpan<byte> key, EntryVersion version) => ShardOf(key).Forget(key, version);

    /// <summary>The slots that anything is held of.</summary>
    public SlotSet HeldSlots()
    {
        var held = new SlotSet();
        for (var i = 0; i < Slot.Count; i++)
        {
            if (Volatile.Read(ref _slotCounts[i]) > 0)
            {
                held.Add(new Slot(i));
            }
        }

        return held;
    }

    /// <summary>
    /// Shows the visitor what is held of <paramref name="slots"/> from <paramref name="cursor"/> on, tombstones too, until the visitor
    /// has no more room; true at the end. Entries that stay throughout are seen once; those that come or go meanwhile perhaps.
    /// </summary>
    public bool Visit(SlotSet slots, ref TierCursor cursor, IEntryVisitor visitor)
    {
        var shard = (int)(cursor.Position >> 32);
        var fromHash = (uint)cursor.Position;
        for (; shard < _shards.Length; shard++, fromHash = 0)
        {
            if (!_shards[shard].Visit(slots, ref fromHash, visitor, Now))
            {
                cursor = new TierCursor((ulong)shard << 32 | fromHash);
                return false;
            }
        }

        cursor = new TierCursor((ulong)shard << 32);
        return true;
    }

    public void Clear()
    {
        foreach (var shard in _shards)
        {
            shard.Clear();
        }
    }

    public void Dispose()
    {
        _disposed = true;
        lock (_timerLock)
        {
            _sweeper?.Dispose();
        }

        Clear();
    }

    private long Now => _time.GetUtcNow().ToUnixTimeMilliseconds();

    private Shard ShardOf(ReadOnlySpan<byte> key)
    {
        var hash = new HashCode();
        hash.Add(_hashSeed);
        hash.AddBytes(key);
        return _shards[(uint)hash.ToHashCode() % _shards.Length];
    }

    private void EnsureSweeper()
    {
        if (_sweeper is not null)
        {
            return;
        }

        lock (_timerLock)
        {
            if (_sweeper is null && !_disposed)
            {
                using (ExecutionContext.SuppressFlow())
                {
                    _sweeper = StartSweeper(new WeakReference<MemoryTier>(this), _time);
                }
            }
        }
    }

    /// <summary>The timer holds the tier weakly: a provider that nobody disposes leaks nothing.</summary>
    private static ITimer StartSweeper(WeakReference<MemoryTier> weakTier, TimeProvider time)
    {
        var self = new StrongBox();
        self.Timer = time.CreateTimer(
            static state =>
            {
                var (weak, box) = ((WeakReference<MemoryTier>, StrongBox))state!;
                if (weak.TryGetTarget(out var tier))
                {
                    tier.Sweep();
                }
                else
                {
                    box.Timer?.Dispose();
                }
            },
            (weakTier, self),
            SweepInterval,
            SweepInterval);
        return self.Timer;
    }

    private void Sweep()
    {
        foreach (var shard in _shards)
        {
            shard.Sweep(Now);
        }
    }

    private sealed class StrongBox
    {
        public ITimer? Timer { get; set; }
    }
}
