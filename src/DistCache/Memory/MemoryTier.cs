using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using DistCache.Entries;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Memory;

/// <summary>
/// Where a node keeps its entries: off the garbage-collected heap, sharded, bounded in bytes whatever they are for, expired entries
/// swept without a read. Thread-safe. Copies in and copies out. Nothing is allocated but this object, and no timer runs, before the
/// first write; a tier that nobody disposes gives its memory back when it is collected.
/// </summary>
internal sealed class MemoryTier : IDisposable
{
    /// <summary>
    /// The smallest budget: the tier's own tables, and pages enough that each kind of memory gets one. 2 MiB where the system's pages are of
    /// 64 KiB.
    /// </summary>
    public static readonly long MinimumSizeLimit = Math.Max(512 << 10, 32 * SystemMemory.GranuleBytes);

    /// <summary>The largest budget: what 32-bit handles tell apart.</summary>
    public const long MaximumSizeLimit = PageGeometry.MaximumBudget;

    /// <summary>How often expired entries are looked for.</summary>
    public static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(5);

    private const int CursorPositionBits = 32;
    private const int CursorBaseBits = 8;
    private const int ClearBatch = 64;

    private readonly TimeProvider _time;
    private readonly TierSweep _sweep;
    private readonly TierTuning _tuning;
    private readonly long _tombstoneLifetime;
    private readonly Lock _startLock = new();

    private readonly LargeWriter _largeWriter;
    private volatile TierMemory? _memory;
    private Sweeper? _sweeper;
    private long _earlyMisses;
    private volatile bool _isDisposed;

    /// <param name="sizeLimit">The budget in bytes, overhead included.</param>
    /// <param name="eviction">Who goes first.</param>
    /// <param name="time">The clock that expiry goes by.</param>
    /// <param name="logger">Hears of tombstones that were dropped for space.</param>
    /// <param name="tuning">For tests.</param>
    /// <param name="tombstoneLifetime">
    /// How long an entry that expires or is evicted before <see cref="Confirm"/> is remembered as removed; zero, where no other node could
    /// have an older copy of it, leaves nothing.
    /// </param>
    public MemoryTier(
        long sizeLimit, Eviction eviction, TimeProvider time, ILogger? logger = null, TierTuning tuning = default, TimeSpan tombstoneLifetime = default)
    {
        if (sizeLimit < MinimumSizeLimit || sizeLimit > MaximumSizeLimit)
        {
            throw new ArgumentOutOfRangeException(
                nameof(sizeLimit), sizeLimit, $"A memory tier's budget is from {MinimumSizeLimit} to {MaximumSizeLimit} bytes.");
        }

        SizeLimit = sizeLimit;
        Eviction = eviction;
        _time = time;
        _largeWriter = new LargeWriter(time);
        _sweep = new TierSweep(time, logger ?? NullLogger.Instance);
        _tuning = tuning;
        _tombstoneLifetime = (long)tombstoneLifetime.TotalMilliseconds;
    }

    public long SizeLimit { get; }

    public Eviction Eviction { get; }

    public MemoryStatistics Statistics
    {
        get
        {
            var sum = new MemoryStatistics { Misses = Volatile.Read(ref _earlyMisses) };
            if (_memory is not { } memory)
            {
                return sum;
            }

            foreach (var shard in memory.Shards)
            {
                sum = shard.AddTo(sum);
            }

            return sum with { Bytes = memory.Pool.ChargedBytes };
        }
    }

    /// <summary>
    /// Copies the value of <paramref name="key"/> to <paramref name="destination"/>. A hit or <see cref="LookupOutcome.TooSmall"/> with
    /// <paramref name="renew"/> counts as a use; <paramref name="info"/> is the entry as it was before that. Where it is no hit, what stands
    /// in the destination afterwards means nothing.
    /// </summary>
    public LookupOutcome Read(ReadOnlySpan<byte> key, Span<byte> destination, bool renew, out EntryInfo info, out int valueLength)
    {
        if (TryGetMemory(out var memory))
        {
            var keyHash = memory.Hash.Compute(key);
            return memory.ShardOf(keyHash).Read(keyHash, key, destination, renew, _time, out info, out valueLength);
        }

        Interlocked.Increment(ref _earlyMisses);
        (info, valueLength) = (default, 0);
        return LookupOutcome.Miss;
    }

    /// <summary>Holds the entry, unless a higher version is held. A tombstone has no value.</summary>
    /// <param name="key">The key.</param>
    /// <param name="info">Its version, expiration and flags.</param>
    /// <param name="value">Its value; copied.</param>
    /// <param name="held">The version held afterwards; default where nothing is.</param>
    public ApplyOutcome Apply(ReadOnlySpan<byte> key, in EntryInfo info, in ReadOnlySequence<byte> value, out EntryVersion held)
    {
        var memory = GetOrCreateMemory();
        var keyHash = memory.Hash.Compute(key);
        var shard = memory.ShardOf(keyHash);
        var totalBytes = EntryHeader.Bytes + StoredExpiration.BytesOf(info.Expiration) + key.Length + value.Length;
        if (totalBytes > memory.MaximumEntryBytes)
        {
            return shard.IsSuperseded(keyHash, key, info, Now, out var superseded, out held) ? superseded : ApplyOutcome.TooLarge;
        }

        var slot = Slot.Of(key);
        if (totalBytes > memory.Classes.LargestChunkBytes)
        {
            return _largeWriter.Apply(memory, shard, keyHash, key, slot, info, value, totalBytes, out held);
        }

        ApplyOutcome outcome;
        var room = new RoomMaker(memory);
        while (!shard.TryApply(keyHash, key, slot, info, value, Now, out outcome, out held))
        {
            room.Make();
        }

        room.MakeForTablesOf(shard);
        return outcome;
    }

    /// <summary>Merges a use that another node saw; false if exactly this version is not held.</summary>
    public bool Renew(ReadOnlySpan<byte> key, EntryVersion version, long lastAccess)
    {
        if (!TryGetMemory(out var memory))
        {
            return false;
        }

        var keyHash = memory.Hash.Compute(key);
        return memory.ShardOf(keyHash).Renew(keyHash, key, version, lastAccess, Now);
    }

    /// <summary>
    /// No node has an older copy of anything that is held here of the slot below this clock: values of that age go without a trace from now
    /// on, and tombstones early.
    /// </summary>
    public void Confirm(Slot slot, ulong clock) => _memory?.Confirm(slot, clock);

    /// <summary>Drops an entry without a trace, if it is held under exactly this version.</summary>
    public bool Forget(ReadOnlySpan<byte> key, EntryVersion version)
    {
        if (!TryGetMemory(out var memory))
        {
            return false;
        }

        var keyHash = memory.Hash.Compute(key);
        return memory.ShardOf(keyHash).Forget(keyHash, key, version);
    }

    /// <summary>The slots that anything is held of.</summary>
    public SlotSet HeldSlots()
    {
        var held = new SlotSet();
        if (_memory is { } memory)
        {
            for (var i = 0; i < Slot.Count; i++)
            {
                if (Volatile.Read(ref memory.SlotCounts[i]) > 0)
                {
                    held.Add(new Slot(i));
                }
            }
        }

        return held;
    }

    /// <summary>The sum of <see cref="EntryDigest"/> over what is held of the slot: equal where two nodes hold the same versions of the same keys.</summary>
    public long DigestOf(Slot slot) => _memory is { } memory ? Volatile.Read(ref memory.SlotDigests[slot.Number]) : 0;

    /// <summary>
    /// Shows the visitor what is held of <paramref name="slots"/> from <paramref name="cursor"/> on, tombstones too, until the visitor
    /// has no more room; true at the end. Entries that stay throughout are seen once; those that come or go meanwhile perhaps, and those
    /// that are written again perhaps twice. The cursor is good for this tier only, whatever is written between the calls.
    /// </summary>
    public bool Visit(SlotSet slots, ref TierCursor cursor, IEntryVisitor visitor)
    {
        if (!TryGetMemory(out var memory))
        {
            return true;
        }

        // Shard, base bucket, position: where an entry stands in the order of the index does not change as that grows.
        var shard = (int)(cursor.Position >> (CursorPositionBits + CursorBaseBits));
        var baseBucket = (int)(cursor.Position >> CursorPositionBits) & ((1 << CursorBaseBits) - 1);
        ulong position = (uint)cursor.Position;
        for (; shard < memory.Shards.Length; shard++, baseBucket = 0, position = 0)
        {
            var isEnd = memory.Shards[shard].Visit(slots, ref baseBucket, ref position, visitor, Now);
            if (!isEnd)
            {
                cursor = new TierCursor((ulong)shard << (CursorPositionBits + CursorBaseBits) | (ulong)baseBucket << CursorPositionBits | position);
                return false;
            }
        }

        cursor = new TierCursor((ulong)shard << (CursorPositionBits + CursorBaseBits));
        return true;
    }

    /// <summary>Removes what is held, and gives the memory back; of what is written meanwhile perhaps some too.</summary>
    public void Clear()
    {
        if (!TryGetMemory(out var memory))
        {
            return;
        }

        memory.Hold();
        try
        {
            foreach (var shard in memory.Shards)
            {
                for (var left = shard.Count; left > 0;)
                {
                    var removed = shard.RemoveSome(ClearBatch);
                    left = removed == 0 ? 0 : left - removed;
                }
            }

            memory.ForgetConfirmations();

            // The first round only notes what is idle.
            memory.Pool.Trim();
            memory.Pool.Trim();
        }
        finally
        {
            memory.LetGo();
        }
    }

    public void Dispose()
    {
        lock (_startLock)
        {
            _isDisposed = true;
            _sweeper?.Dispose();
            _memory?.Dispose();
        }
    }

    /// <summary>The process does not stand still: tombstones grow older. Beside the sweep, which may take longer than its interval.</summary>
    internal void NoteThatItRuns() => _memory?.NoteThatItRuns(Now);

    /// <summary>One round of what the sweeper does.</summary>
    internal void Sweep()
    {
        if (_isDisposed || _memory is not { } memory || !memory.TryHold())
        {
            return;
        }

        try
        {
            _sweep.Run(memory);
            _sweep.Tell(Statistics, SizeLimit);
        }
        catch (ObjectDisposedException)
        {
            // Meanwhile: nothing is left to sweep.
        }
        finally
        {
            memory.LetGo();
        }
    }

    /// <summary>For checks in tests; null before the first write.</summary>
    internal TierMemory? Memory => _memory;

    private long Now => _time.GetUtcNow().ToUnixTimeMilliseconds();

    private bool TryGetMemory([NotNullWhen(true)] out TierMemory? memory)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        memory = _memory;
        return memory is not null;
    }

    private TierMemory GetOrCreateMemory()
    {
        if (TryGetMemory(out var memory))
        {
            return memory;
        }

        lock (_startLock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_memory is null)
            {
                _memory = new TierMemory(SizeLimit, Eviction, _tuning, _tombstoneLifetime, Now);
                _sweeper = new Sweeper(this, _time);
            }

            return _memory;
        }
    }
}
