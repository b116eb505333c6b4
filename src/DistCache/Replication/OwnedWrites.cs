using System.Buffers;
using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// What an owner does for writes, its own callers' or others': takes a copy; or, as the acting primary, leads the write: applies it, sends it to all other
/// owners, and says how many copies there are.
/// </summary>
internal sealed class OwnedWrites(
    Ownership ownership, MemoryTier memory, PeerCalls calls, Debts debts, HybridClock clock, TimeProvider time, ReplicationOptions options)
{
    private readonly CopySender _copies = new(calls, debts, time, options);
    private volatile bool _isClosed;

    /// <summary>Others go on without this node: what only it holds counts for nothing any more.</summary>
    public void Close() => _isClosed = true;

    /// <summary>Does the acting primary's work for another node.</summary>
    public async ValueTask<PeerReply> HandleAsync(WriteRequest request)
    {
        var routing = ownership.Current;
        var slot = Slot.Of(request.Key.Span);
        return routing.StandingOf(slot) == Standing.Holder
            ? new WriteReply(WriteOutcome.NotMine, routing.Table.Hash, 0, 0)
            : await LeadAsync(routing, slot, request, options.Timeout + request.ExtraTime).ConfigureAwait(false);
    }

    /// <summary>Takes a copy from an acting primary.</summary>
    public ReplicateReply Handle(ReplicateRequest request)
    {
        var routing = ownership.Current;
        var entry = request.Entry;
        if (!request.StandIn && routing.StandingOf(Slot.Of(entry.Key.Span)) == Standing.Holder)
        {
            Metrics.ReplicaRefused("not_mine");
            return new ReplicateReply(ReplicateOutcome.NotMine, default, routing.Table.Hash);
        }

        if (!clock.TryMerge(entry.Version.Clock))
        {
            Metrics.ReplicaRefused("future_version");
            return new ReplicateReply(ReplicateOutcome.Refused, default, routing.Table.Hash);
        }

        var outcome = Take(entry, out var held) switch
        {
            ApplyOutcome.Applied => ReplicateOutcome.Applied,
            ApplyOutcome.Older => ReplicateOutcome.Older,
            _ => ReplicateOutcome.Refused,
        };

        // The table as it is now: who fetches the slot under a later one did so after this copy was here, or the writer hears of that table.
        return new ReplicateReply(outcome, held, ownership.Current.Table.Hash);
    }

    /// <summary>Takes a copy that others hold. One that is too large here is as good as evicted: what it superseded goes.</summary>
    public ApplyOutcome Take(EntryRecord entry, out EntryVersion held)
    {
        var outcome = Apply(entry, out held);
        if (outcome == ApplyOutcome.TooLarge)
        {
            var lifetime = new RemainingTime((long)options.TombstoneLifetime.TotalMilliseconds, 0, 0);
            Apply(entry with { Remaining = lifetime, Flags = EntryFlags.Tombstone, Value = default }, out held);
            Metrics.ReplicaRefused("too_large");
        }

        return outcome;
    }

    /// <summary>Holds an entry that came from a peer: its times are told in what remains of them.</summary>
    public ApplyOutcome Apply(EntryRecord entry, out EntryVersion held)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var info = new EntryInfo(entry.Version, entry.Remaining.ToExpiration(now), entry.Remaining.ToLastAccess(now), entry.Flags);
        return memory.Apply(entry.Key.Span, info, new ReadOnlySequence<byte>(entry.Value), out held);
    }

    /// <summary>The (acting) primary's work.</summary>
    public async Task<PeerReply> LeadAsync(Routing routing, Slot slot, WriteRequest request, TimeSpan left)
    {
        if (options.MinimumMembers > 1 && ReachableMembers(routing) is var reachable && reachable < options.MinimumMembers)
        {
            return new WriteReply(WriteOutcome.TooFewMembers, routing.Table.Hash, options.MinimumMembers, reachable);
        }

        if (!clock.TryMerge(request.Version.Clock))
        {
            Metrics.ReplicaRefused("future_version");
            return new WriteReply(WriteOutcome.Unavailable, routing.Table.Hash, 1, 0);
        }

        var deadline = time.GetTimestamp() + (long)(left.TotalSeconds * time.TimestampFrequency);
        var tally = new CopyTally(request, Needed(routing, request.Ack), _copies.StandIns(routing, slot), deadline);
        try
        {
            var applied = Apply(tally.Entry, out var held);
            if (applied != ApplyOutcome.Applied)
            {
                clock.TryMerge(held.Clock);
                tally.Close();
                return applied == ApplyOutcome.Older
                    ? new WriteReply(WriteOutcome.Older, routing.Table.Hash, Needed(routing, request.Ack), 1)
                    : new WriteReply(WriteOutcome.TooLarge, routing.Table.Hash, 0, 0);
            }

            _copies.Send(routing, slot, request.PassedOver, tally);
            await tally.Enough.ConfigureAwait(false);
            clock.TryMerge(tally.Newer.Clock);
            if (ownership.Current.Table is var table
                && (!ReferenceEquals(table, routing.Table) || (_isClosed && tally.Copies < WritePath.CopiesNeeded(request.Ack, table.ReplicaCount))))
            {
                // Who owns the slot now may have read this node to its end before the write: it counts when those have it (decision 0051).
                // And that nobody can be reached from a node whose lanes are closed says nothing about the others.
                return new WriteReply(WriteOutcome.NotMine, table.Hash, 0, 0);
            }

            // A member that failed during the write is no longer reachable, and not needed either.
            var needed = Needed(routing, request.Ack);
            var outcome = tally.Newer > request.Version ? WriteOutcome.Older
                : tally.Copies >= needed ? WriteOutcome.Acknowledged
                : tally.IsLackingForGood ? WriteOutcome.TooLarge
                : WriteOutcome.Unavailable;
            return new WriteReply(outcome, routing.Table.Hash, needed, tally.Copies);
        }
        finally
        {
            tally.Close();
        }
    }

    /// <summary>Never more than the nodes in the table that are reachable now: no others hold copies.</summary>
    private int Needed(Routing routing, WriteAck ack)
    {
        var reachable = 0;
        for (var index = 0; index < routing.Table.Nodes.Length; index++)
        {
            reachable += IsReachable(routing[(ushort)index], routing) ? 1 : 0;
        }

        return Math.Min(WritePath.CopiesNeeded(ack, routing.Table.ReplicaCount), Math.Max(1, reachable));
    }

    public int ReachableMembers(Routing routing) => routing.LiveMembers.Count(member => IsReachable(member, routing));

    public bool IsReachable(Member member, Routing routing) => routing.IsSelf(member) || calls.IsUsable(member);
}
