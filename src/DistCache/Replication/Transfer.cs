using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// Moves the entries of some slots from a holder to an owner, a batch at a time: the owner asks, the holder keeps no state. An entry
/// that came or changed meanwhile is decided by its version, so that a batch that comes twice changes nothing.
/// </summary>
internal sealed class Transfer(MemoryTier memory, OwnedWrites owned, PeerCalls calls, HybridClock clock, TimeProvider time, ReplicationOptions options)
{
    /// <summary>One batch; small beside what the bulk lane carries in the time a small read takes on its own lane.</summary>
    private const int BatchBytes = 32 << 10;

    /// <summary>
    /// While somebody reads, both sides rest after each batch for so many times as long as it took: a transfer takes an eighth of what is there
    /// at the most, and less from a node that is busy. With one it is over four times as soon, and the p99 of gets meanwhile is six times as
    /// high (docs/benchmarks.md).
    /// </summary>
    private const int RestPerWork = 7;

    /// <summary>Where nobody has read for so long, on either side, it rests only as long as it works.</summary>
    private static readonly TimeSpan QuietTime = TimeSpan.FromMilliseconds(500);

    /// <summary>A holder that stood still in the middle of a batch is no reason to rest for many times as long.</summary>
    private static readonly TimeSpan LongestRest = TimeSpan.FromMilliseconds(100);

    /// <summary>A batch takes longer than a single entry may.</summary>
    private const int PatienceFactor = 5;

    /// <summary>Fetches everything that <paramref name="holder"/> holds of <paramref name="slots"/>; false if it stopped answering.</summary>
    /// <param name="holder">Who is asked.</param>
    /// <param name="slots">What for.</param>
    /// <param name="routing">The routing this belongs to.</param>
    /// <param name="isWanted">Asked before each batch and entry: false when the table changed and another transfer takes its place.</param>
    /// <param name="cancellationToken">The end of this node.</param>
    public async ValueTask<bool> FetchAsync(
        Membership.Member holder, SlotSet slots, Routing routing, Func<bool> isWanted, CancellationToken cancellationToken)
    {
        var cursor = 0UL;
        var lookups = 0L;
        var readAt = time.GetTimestamp();
        while (isWanted())
        {
            var askedAt = time.GetTimestamp();
            var request = new TransferRequest(slots, cursor, BatchBytes);
            var reply = await calls.SendAsync(holder, request, routing, options.Timeout * PatienceFactor, cancellationToken).ConfigureAwait(false);
            if (reply is not TransferReply batch)
            {
                return false;
            }

            Take(batch, isWanted);
            batch.Release();
            if (batch.IsEnd)
            {
                return isWanted();
            }

            cursor = batch.Cursor;
            var lookupsNow = batch.Lookups + Lookups;
            readAt = lookupsNow == lookups ? readAt : askedAt;
            lookups = lookupsNow;
            var work = time.GetElapsedTime(askedAt);
            var rest = time.GetElapsedTime(readAt) > QuietTime ? work : work * RestPerWork;
            await Task.Delay(rest < LongestRest ? rest : LongestRest, time, CancellationToken.None).ConfigureAwait(false);
        }

        return false;
    }

    /// <summary>Gives the next batch.</summary>
    public TransferReply Handle(TransferRequest request)
    {
        var batch = new EntryBatch(Math.Clamp(request.MaximumBytes, 1, BatchBytes), time.GetUtcNow().ToUnixTimeMilliseconds());
        var cursor = new TierCursor(request.Cursor);
        var isEnd = memory.Visit(request.Slots, ref cursor, batch);
        return new TransferReply(batch.Entries, cursor.Position, isEnd, Lookups);
    }

    /// <summary>The holder may turn out to be a stranger, or this node begin anew: nothing of that may land any more.</summary>
    private void Take(TransferReply batch, Func<bool> isWanted)
    {
        foreach (var entry in batch.Entries.TakeWhile(_ => isWanted()))
        {
            if (clock.TryMerge(entry.Version.Clock))
            {
                owned.Take(entry, out _);
            }
            else
            {
                Metrics.ReplicaRefused("future_version");
            }
        }

        Metrics.EntriesTransferred(batch.Entries.Count);
    }

    /// <summary>What others read of this node's memory, and what it reads itself.</summary>
    private long Lookups
    {
        get
        {
            var statistics = memory.Statistics;
            return statistics.Hits + statistics.Misses;
        }
    }
}
