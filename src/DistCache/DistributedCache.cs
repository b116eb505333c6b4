using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.CompilerServices;
using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Memory;
using DistCache.Peers;
using DistCache.Replication;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging;

namespace DistCache;

/// <summary>
/// The cache as applications see it. Validates, encodes the key, answers from this node's memory where that may answer alone, and
/// hands everything else to <see cref="ReadPath"/> and <see cref="WritePath"/>. Copies in and copies out.
/// </summary>
[SkipLocalsInit] // Keys are encoded on the stack, in room for the longest.
internal sealed class DistributedCache(
    Ownership ownership, MemoryTier memory, ReadPath reads, WritePath writes, HybridClock clock, TimeProvider time, DistCacheOptions options, ILogger logger)
    : IBufferDistributedCache, IDisposable
{
    /// <summary>Values up to this length are found with one look-up, by way of a buffer that the thread keeps.</summary>
    private const int ScratchBytes = 8 << 10;

    [ThreadStatic]
    private static byte[]? _scratch;

    private readonly BlockedCalls _blocked = new(options.Replication.Timeout, time, logger);
    private volatile bool _disposed;

    public byte[]? Get(string key)
    {
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        return reads.AnswersAlone(bytes, out var slot) ? GetAlone(bytes) : ReadPath.ToArray(BlockRead(reads.Begin(bytes, slot, renew: true, withValue: true, default)));
    }

    public Task<byte[]?> GetAsync(string key, CancellationToken token = default)
    {
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        if (token.IsCancellationRequested)
        {
            return Task.FromCanceled<byte[]?>(token);
        }

        return reads.AnswersAlone(bytes, out var slot) ? Task.FromResult(GetAlone(bytes)) : reads.Begin(bytes, slot, renew: true, withValue: true, token).Value.AsTask();
    }

    public bool TryGet(string key, IBufferWriter<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        return reads.AnswersAlone(bytes, out var slot)
            ? TryGetAlone(bytes, destination)
            : TryWrite(BlockRead(reads.Begin(bytes, slot, renew: true, withValue: true, default)), destination);
    }

    public ValueTask<bool> TryGetAsync(string key, IBufferWriter<byte> destination, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        if (token.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<bool>(token);
        }

        return reads.AnswersAlone(bytes, out var slot)
            ? new(TryGetAlone(bytes, destination))
            : reads.Begin(bytes, slot, renew: true, withValue: true, token).Into(destination);
    }

    public void Set(string key, byte[] value, DistributedCacheEntryOptions options)
    {
        ArgumentNullException.ThrowIfNull(value);
        Set(key, new ReadOnlySequence<byte>(value), options);
    }

    public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options)
    {
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        var expiration = ExpirationOf(options, value.Length);
        if (!TryWriteAlone(bytes, value, expiration, EntryFlags.None))
        {
            BlockWrite(
                value.Length > LaneLimits.InlineBytes ? SetCopiedAsync(bytes.ToArray(), value, expiration) : SetRemoteAsync(bytes, value, expiration, default),
                (int)value.Length);
        }
    }

    public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(value);
        return SetAsync(key, new ReadOnlySequence<byte>(value), options, token).AsTask();
    }

    public ValueTask SetAsync(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        var expiration = ExpirationOf(options, value.Length);
        if (token.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(token);
        }

        return TryWriteAlone(bytes, value, expiration, EntryFlags.None) ? default : SetRemoteAsync(bytes, value, expiration, token);
    }

    public void Refresh(string key)
    {
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        if (!TryRefreshAlone(bytes))
        {
            BlockRead(reads.Begin(bytes, Slot.Of(bytes), renew: true, withValue: false, default))?.Release();
        }
    }

    public Task RefreshAsync(string key, CancellationToken token = default)
    {
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        if (token.IsCancellationRequested)
        {
            return Task.FromCanceled(token);
        }

        return TryRefreshAlone(bytes) ? Task.CompletedTask : reads.ReadAsync(bytes, renew: true, withValue: false, token).AsTask();
    }

    public void Remove(string key)
    {
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        if (!TryRemoveAlone(bytes))
        {
            BlockWrite(RemoveRemoteAsync(bytes, default), valueLength: 0);
        }
    }

    public Task RemoveAsync(string key, CancellationToken token = default)
    {
        var bytes = Encode(key, stackalloc byte[EntryKey.MaximumBytes]);
        if (token.IsCancellationRequested)
        {
            return Task.FromCanceled(token);
        }

        return TryRemoveAlone(bytes) ? Task.CompletedTask : RemoveRemoteAsync(bytes, token).AsTask();
    }

    public void Dispose() => _disposed = true;

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>No peer will ever hear of an entry: there is nobody to remember a removal for.</summary>
    private bool IsLocal => options.Cluster.Listen is null;

    /// <summary>How long a removal is.</summary>
    private RemainingTime Remembered => new((long)options.Replication.TombstoneLifetime.TotalMilliseconds, 0, 0);

    private Span<byte> Encode([NotNull] string? key, Span<byte> buffer)
    {
        ArgumentNullException.ThrowIfNull(key);
        ObjectDisposedException.ThrowIf(_disposed, typeof(IDistributedCache));
        return EntryKey.Encode(key, buffer, options.Memory.MaximumKeyBytes);
    }

    private Expiration ExpirationOf([NotNull] DistributedCacheEntryOptions? entryOptions, long valueLength)
    {
        ArgumentNullException.ThrowIfNull(entryOptions, "options");
        if (valueLength > options.Memory.MaximumValueBytes)
        {
            throw new ArgumentException(
                string.Create(CultureInfo.InvariantCulture, $"The value has {valueLength} bytes; at most {options.Memory.MaximumValueBytes} are allowed (Memory.MaximumValueBytes)."),
                "value");
        }

        var now = time.GetUtcNow();
        var saysNothing = entryOptions is { AbsoluteExpiration: null, AbsoluteExpirationRelativeToNow: null, SlidingExpiration: null };
        return saysNothing && options.Memory.DefaultExpiration is { } standard
            ? Expiration.From(new DistributedCacheEntryOptions { AbsoluteExpirationRelativeToNow = standard }, now)
            : Expiration.From(entryOptions, now);
    }

    private byte[]? GetAlone(ReadOnlySpan<byte> key)
    {
        var scratch = _scratch ??= GC.AllocateUninitializedArray<byte>(ScratchBytes);
        var outcome = reads.Look(key, scratch, renew: true, out _, out var length);
        if (outcome == LookupOutcome.Hit)
        {
            return scratch.AsSpan(0, length).ToArray();
        }

        while (outcome == LookupOutcome.TooSmall)
        {
            var value = GC.AllocateUninitializedArray<byte>(length);
            outcome = reads.Look(key, value, renew: true, out _, out length);
            if (outcome == LookupOutcome.Hit)
            {
                return length == value.Length ? value : value[..length];
            }
        }

        return null;
    }

    private bool TryGetAlone(ReadOnlySpan<byte> key, IBufferWriter<byte> destination)
    {
        // Asking for a span writes nothing; only Advance does, and that after a hit.
        var outcome = reads.Look(key, destination.GetSpan(), renew: true, out _, out var length);
        while (outcome == LookupOutcome.TooSmall)
        {
            outcome = reads.Look(key, destination.GetSpan(length), renew: true, out _, out length);
        }

        if (outcome == LookupOutcome.Hit)
        {
            destination.Advance(length);
        }

        return outcome == LookupOutcome.Hit;
    }

    private bool TryRefreshAlone(ReadOnlySpan<byte> key)
    {
        if (!reads.AnswersAlone(key, out _))
        {
            return false;
        }

        reads.Look(key, [], renew: true, out _, out _);
        return true;
    }

    private bool TryRemoveAlone(ReadOnlySpan<byte> key)
    {
        if (!IsLocal)
        {
            // Whoever joins or comes back may hold it.
            return TryWriteAlone(key, ReadOnlySequence<byte>.Empty, Remembered.ToExpiration(Now), EntryFlags.Tombstone);
        }

        if (!WritesAlone(ownership.Current))
        {
            return false;
        }

        while (memory.Read(key, [], renew: false, out var info, out _) != LookupOutcome.Miss && !memory.Forget(key, info.Version))
        {
        }

        return true;
    }

    /// <summary>
    /// Writes without a task where nobody else is to be told; false also if somebody has come meanwhile, who may have asked for everything before the entry
    /// was here.
    /// </summary>
    private bool TryWriteAlone(ReadOnlySpan<byte> key, in ReadOnlySequence<byte> value, Expiration expiration, EntryFlags flags)
    {
        var routing = ownership.Current;
        if (!WritesAlone(routing))
        {
            return false;
        }

        ApplyAlone(routing, key, value, expiration, flags);
        return WritesAlone(ownership.Current);
    }

    private bool WritesAlone(Routing routing) => routing.IsAlone && options.Replication.MinimumMembers <= 1;

    private void ApplyAlone(Routing routing, ReadOnlySpan<byte> key, in ReadOnlySequence<byte> value, Expiration expiration, EntryFlags flags)
    {
        while (true)
        {
            var info = new EntryInfo(new EntryVersion(clock.Next(), routing.Origin), expiration, Now, flags);
            switch (memory.Apply(key, info, value, out var held))
            {
                case ApplyOutcome.Applied:
                    writes.OweToOthers(routing, key, info.Version);
                    return;
                case ApplyOutcome.TooLarge:
                    throw TooLarge(value.Length);
                case ApplyOutcome.Older when !clock.TryMerge(held.Clock):
                    throw new DistCacheUnavailableException("The write cannot be ordered: an entry of this key has a version too far in the future.");
            }
        }
    }

    /// <summary>A miss, unless the application wants to hear of it.</summary>
    public ReadReply? Unanswered(string reason)
    {
        Metrics.ReadUnanswered();
        return options.Replication.OnReadFailure == OnReadFailure.Miss
            ? null
            : throw new DistCacheUnavailableException($"The read was not answered: {reason}.");
    }

    private ValueTask SetRemoteAsync(ReadOnlySpan<byte> key, in ReadOnlySequence<byte> value, Expiration expiration, CancellationToken token)
    {
        var now = Now;
        return writes.Begin(key, remove: false, expiration.ToRemaining(now, now), value, token).Acknowledged;
    }

    /// <summary>
    /// A large value is read while it is sent. A caller that blocks may be gone before that: the wait ends even where no thread is left
    /// to end the set.
    /// </summary>
    private ValueTask SetCopiedAsync(byte[] key, in ReadOnlySequence<byte> value, Expiration expiration)
    {
        var rented = ValueBytes.Rent((int)value.Length);
        value.CopyTo(rented);
        return SetAsync(new ReadOnlySequence<byte>(rented, 0, (int)value.Length));

        async ValueTask SetAsync(ReadOnlySequence<byte> copy)
        {
            try
            {
                await SetRemoteAsync(key, copy, expiration, default).ConfigureAwait(false);
            }
            finally
            {
                ValueBytes.Return(rented);
            }
        }
    }

    private ValueTask RemoveRemoteAsync(ReadOnlySpan<byte> key, CancellationToken token) =>
        writes.Begin(key, remove: true, Remembered, ReadOnlySequence<byte>.Empty, token).Acknowledged;

    /// <summary>What the application hears of a write that was not acknowledged.</summary>
    public void ThrowUnacknowledged(WriteReply reply, bool isRemoval, long valueLength)
    {
        var operation = isRemoval ? "remove" : "set";
        switch (reply.Outcome)
        {
            case WriteOutcome.TooLarge:
                throw TooLarge(valueLength);
            case WriteOutcome.TooFewMembers:
                throw new DistCacheUnavailableException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"The {operation} was refused: {reply.Copies} members are reachable, {reply.NeededCopies} must be (Replication.MinimumMembers)."));
            case WriteOutcome.Unavailable when reply.NeededCopies == 0:
                throw new DistCacheUnavailableException($"The {operation} was refused: this node has stopped.");
            default:
                throw new DistCacheUnavailableException(operation, reply.NeededCopies, reply.Copies);
        }
    }

    private ArgumentException TooLarge(long valueLength) => new(
        string.Create(CultureInfo.InvariantCulture, $"The value has {valueLength} bytes and does not fit into the memory budget of a node that owns its key; this one has {options.Memory.SizeLimit} bytes (Memory.SizeLimit)."),
        "value");

    private static bool TryWrite(ReadReply? reply, IBufferWriter<byte> destination)
    {
        var isHit = reply?.Outcome == ReadOutcome.Hit;
        if (isHit)
        {
            ValueBytes.Write(reply!.Value.Span, destination);
        }

        reply?.Release();
        return isHit;
    }

    private ReadReply? BlockRead(RemoteRead read)
    {
        var answer = read.Answer;
        if (BlockedCalls.EndsSoon(answer))
        {
            return answer.GetAwaiter().GetResult();
        }

        var task = answer.AsTask();
        if (BlockedCalls.Wait(task, _blocked.Patience) || (read.IsFollowing && BlockedCalls.Wait(task, LaneLimits.TimeForLargeReply)))
        {
            return task.GetAwaiter().GetResult();
        }

        _blocked.LogStarved();
        return Unanswered("no thread was free to complete it in time");
    }

    private void BlockWrite(ValueTask write, int valueLength)
    {
        if (BlockedCalls.EndsSoon(write))
        {
            write.GetAwaiter().GetResult();
            return;
        }

        var task = write.AsTask();
        if (!BlockedCalls.Wait(task, _blocked.Patience + WritePath.ExtraTimeFor(valueLength)))
        {
            _blocked.LogStarved();
            throw new DistCacheUnavailableException("The write was not acknowledged: no thread was free to complete it in time.");
        }

        task.GetAwaiter().GetResult();
    }
}
