using System.Buffers;
using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// A write, from the caller to the acknowledgement.
/// <list type="number">
/// <item>The node that writes gives it a version above its clock. Sent again, it keeps that: late or twice, it changes nothing.</item>
/// <item>It goes to the acting primary: the first owner in ring order that is believed to answer.</item>
/// <item>That one applies it, and sends it to all other owners at once.</item>
/// <item>An owner that is silent for a quarter of the timeout is stood in for by the next node on the ring; one that is known not to answer, at once.</item>
/// <item>It is acknowledged when enough copies exist, never more than members are reachable.</item>
/// <item>An owner that did not take its copy is owed it: see <see cref="Debts"/>.</item>
/// <item>Where the table of whoever writes changed meanwhile, it goes to the owners by the new one as well, before it is acknowledged.</item>
/// <item>Where an owner held a higher version, whoever writes, and still waits, stamps the write again above that.</item>
/// </list>
/// No lock is held across a call; no replica waits for another.
/// </summary>
internal sealed class WritePath(
    Ownership ownership, MemoryTier memory, PeerCalls calls, Debts debts, HybridClock clock, TimeProvider time, ReplicationOptions options)
{
    /// <summary>How often a write starts again because the node it asked works by another table.</summary>
    private const int MaximumRetries = 2;

    /// <summary>How often a write is stamped again above a version that a replica held.</summary>
    private const int MaximumStamps = 3;

    /// <summary>The copies that an acknowledgement stands for, while all members are reachable.</summary>
    public static int CopiesNeeded(WriteAck ack, int replicaCount) => ack switch
    {
        WriteAck.Primary => 1,
        WriteAck.All => replicaCount + 1,
        _ => ((replicaCount + 1) / 2) + 1,
    };

    /// <summary>Writes for a caller on this node.</summary>
    /// <exception cref="OperationCanceledException">The caller gave up; the write may go on.</exception>
    public async ValueTask<WriteReply> WriteAsync(WriteRequest request, CancellationToken cancellationToken)
    {
        var slot = Slot.Of(request.Key.Span);
        var started = time.GetTimestamp();
        var passed = new HashSet<NodeIdentity>();
        var retries = 0;
        var stamps = 0;
        WriteReply? acknowledged = null;
        for (var isNew = true; ;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var routing = ownership.Current;
            var left = options.Timeout - time.GetElapsedTime(started);
            if (left <= TimeSpan.Zero || !TryFindActingPrimary(routing, slot, passed, out var target))
            {
                return acknowledged ?? new WriteReply(WriteOutcome.Unavailable, routing.Table.Hash, CopiesNeeded(request.Ack, routing.Table.ReplicaCount), 0);
            }

            request = request with
            {
                Version = isNew ? new EntryVersion(clock.Next(), routing.Origin) : request.Version,
                TableHash = routing.Table.Hash,
                PassedOver = passed.Count > 0,
            };
            isNew = false;
            var reply = routing.IsSelf(target)
                ? await LeadAsync(routing, slot, request).WaitAsync(cancellationToken).ConfigureAwait(false)
                : await calls.SendAsync(target, request, routing, passed.Count == 0 ? options.Timeout / 2 : left, cancellationToken).ConfigureAwait(false);
            switch (reply)
            {
                case WriteReply { Outcome: WriteOutcome.Older } when ++stamps < MaximumStamps:
                    // The reply brought the clock along that the next stamp must be above.
                    isNew = true;
                    break;
                case WriteReply { Outcome: WriteOutcome.Older } superseded:
                    // Others write this key all the time: one of theirs is the later one, and is there.
                    return superseded with { Outcome = WriteOutcome.Acknowledged };
                case WriteReply { Outcome: WriteOutcome.NotMine } when ++retries <= MaximumRetries:
                    break;
                case WriteReply { Outcome: WriteOutcome.Acknowledged } write when !ReferenceEquals(ownership.Current.Table, routing.Table) && ++retries <= MaximumRetries:
                    // By a table that is over: a node that joins knows some members before the others, and the primary may be among those.
                    acknowledged = write;
                    break;
                case WriteReply { Outcome: not WriteOutcome.NotMine } write:
                    return acknowledged ?? write;
                default:
                    passed.Add(target.Record.Identity);
                    break;
            }
        }
    }

    /// <summary>Does the acting primary's work for another node.</summary>
    public async ValueTask<PeerReply> HandleAsync(WriteRequest request)
    {
        var routing = ownership.Current;
        var slot = Slot.Of(request.Key.Span);
        return routing.StandingOf(slot) == Standing.Holder
            ? new WriteReply(WriteOutcome.NotMine, routing.Table.Hash, 0, 0)
            : await LeadAsync(routing, slot, request).ConfigureAwait(false);
    }

    /// <summary>Takes a copy from an acting primary.</summary>
    public ReplicateReply Handle(ReplicateRequest request)
    {
        var routing = ownership.Current;
        var entry = request.Entry;
        if (!request.StandIn && routing.StandingOf(Slot.Of(entry.Key.Span)) == Standing.Holder)
        {
            Metrics.RefusedReplicas.Add(1, Metrics.Reason("not_mine"));
            return new ReplicateReply(ReplicateOutcome.NotMine, default, routing.Table.Hash);
        }

        if (!clock.TryMerge(entry.Version.Clock))
        {
            Metrics.RefusedReplicas.Add(1, Metrics.Reason("future_version"));
            return new ReplicateReply(ReplicateOutcome.Refused, default, routing.Table.Hash);
        }

        var outcome = Take(entry, out var held) switch
        {
            ApplyOutcome.Applied => ReplicateOutcome.Applied,
            ApplyOutcome.Older => ReplicateOutcome.Older,
            _ => ReplicateOutcome.Refused,
        };
        return new ReplicateReply(outcome, held, routing.Table.Hash);
    }

    /// <summary>Takes a copy that others hold. One that is too large here is as good as evicted: what it superseded goes.</summary>
    public ApplyOutcome Take(EntryRecord entry, out EntryVersion held)
    {
        var outcome = Apply(entry, out held);
        if (outcome == ApplyOutcome.TooLarge)
        {
            var lifetime = new RemainingTime((long)options.TombstoneLifetime.TotalMilliseconds, 0, 0);
            Apply(entry with { Remaining = lifetime, Flags = EntryFlags.Tombstone, Value = default }, out held);
            Metrics.RefusedReplicas.Add(1, Metrics.Reason("too_large"));
        }

        return outcome;
    }

    /// <summary>Holds an entry that came from a peer: its times are told in what remains of them.</summary>
    private ApplyOutcome Apply(EntryRecord entry, out EntryVersion held)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var info = new EntryInfo(entry.Version, entry.Remaining.ToExpiration(now), entry.Remaining.ToLastAccess(now), entry.Flags);
        return memory.Apply(entry.Key.Span, info, new ReadOnlySequence<byte>(entry.Value), out held);
    }

    /// <summary>The first owner in ring order that is worth waiting for; if there is none, the first that was not tried and may be there.</summary>
    private bool TryFindActingPrimary(Routing routing, Slot slot, HashSet<NodeIdentity> passed, out Member target)
    {
        target = null!;
        foreach (var index in routing.Table.Owners(slot))
        {
            var owner = routing[index];
            if (passed.Contains(owner.Record.Identity) || !Ownership.MayHold(owner))
            {
                continue;
            }

            if (routing.IsSelf(owner) || calls.IsUsable(owner))
            {
                target = owner;
                return true;
            }

            target ??= owner;
        }

        return target is not null;
    }

    /// <summary>The (acting) primary's work.</summary>
    private async Task<PeerReply> LeadAsync(Routing routing, Slot slot, WriteRequest request)
    {
        if (options.MinimumMembers > 1 && ReachableMembers(routing) is var reachable && reachable < options.MinimumMembers)
        {
            return new WriteReply(WriteOutcome.TooFewMembers, routing.Table.Hash, options.MinimumMembers, reachable);
        }

        if (!clock.TryMerge(request.Version.Clock))
        {
            Metrics.RefusedReplicas.Add(1, Metrics.Reason("future_version"));
            return new WriteReply(WriteOutcome.Unavailable, routing.Table.Hash, 1, 0);
        }

        var tally = new CopyTally(request, Needed(routing, request.Ack), StandIns(routing, slot), time.GetTimestamp());
        try
        {
            var applied = Apply(tally.Entry, out var held);
            if (applied != ApplyOutcome.Applied)
            {
                clock.TryMerge(held.Clock);
                tally.Close();
                return new WriteReply(applied == ApplyOutcome.Older ? WriteOutcome.Older : WriteOutcome.TooLarge, routing.Table.Hash, 0, 0);
            }

            SendToOwners(routing, slot, request.PassedOver, tally);
            await tally.Enough.ConfigureAwait(false);
            clock.TryMerge(tally.Newer.Clock);
            if (ownership.Current.Table is var table && !ReferenceEquals(table, routing.Table))
            {
                // Who owns the slot now may have read this node to its end before the write: it counts when those have it (decision 0051).
                return new WriteReply(WriteOutcome.NotMine, table.Hash, 0, 0);
            }

            // A member that failed during the write is no longer reachable, and not needed either.
            var needed = Needed(routing, request.Ack);
            var outcome = tally.Newer > request.Version ? WriteOutcome.Older
                : tally.Copies >= needed ? WriteOutcome.Acknowledged
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

        return Math.Min(CopiesNeeded(ack, routing.Table.ReplicaCount), Math.Max(1, reachable));
    }

    private int ReachableMembers(Routing routing) => routing.LiveMembers.Count(member => IsReachable(member, routing));

    private bool IsReachable(Member member, Routing routing) => routing.IsSelf(member) || calls.IsUsable(member);

    private IEnumerable<Member> StandIns(Routing routing, Slot slot)
    {
        foreach (var index in routing.Table.Successors(slot))
        {
            var member = routing[index];
            if (!routing.IsSelf(member) && calls.IsUsable(member) && !routing.Table.Owners(slot).Contains(index))
            {
                yield return member;
            }
        }
    }

    private void SendToOwners(Routing routing, Slot slot, bool passedOver, CopyTally tally)
    {
        var isBeforeSelf = true;
        foreach (var index in routing.Table.Owners(slot))
        {
            if (index == routing.SelfIndex)
            {
                isBeforeSelf = false;
                continue;
            }

            var owner = routing[index];
            var isWorthWaiting = calls.IsUsable(owner) && !(passedOver && isBeforeSelf);
            if (isWorthWaiting)
            {
                _ = CopyToAsync(owner, routing, tally, standInAfter: true);
                continue;
            }

            _ = StandInAsync(routing, tally);
            if (Ownership.MayHold(owner))
            {
                _ = CopyToAsync(owner, routing, tally, standInAfter: false);
            }
        }

        tally.Close();
    }

    private async Task StandInAsync(Routing routing, CopyTally tally)
    {
        tally.Open();
        try
        {
            while (TimeLeft(tally) > TimeSpan.Zero && tally.TryTakeStandIn(out var standIn) && !await TryCopyAsync(standIn, isStandIn: true, routing, tally).ConfigureAwait(false))
            {
            }
        }
        finally
        {
            tally.Close();
        }
    }

    private async Task CopyToAsync(Member owner, Routing routing, CopyTally tally, bool standInAfter)
    {
        tally.Open();
        try
        {
            if (!await TryCopyAsync(owner, isStandIn: false, routing, tally).ConfigureAwait(false) && standInAfter)
            {
                await StandInAsync(routing, tally).ConfigureAwait(false);
            }
        }
        finally
        {
            tally.Close();
        }
    }

    /// <summary>True if the member holds this version or a later one now.</summary>
    private async ValueTask<bool> TryCopyAsync(Member to, bool isStandIn, Routing routing, CopyTally tally)
    {
        var request = new ReplicateRequest(tally.Entry, routing.Table.Hash, isStandIn);
        var left = TimeLeft(tally);

        // Whoever asked this node to lead waits for half of the timeout: by then a stand-in must have answered too.
        var patience = left < options.Timeout / 4 ? left : options.Timeout / 4;
        var reply = await calls.SendAsync(to, request, routing, patience, CancellationToken.None).ConfigureAwait(false);
        switch (reply)
        {
            case ReplicateReply { Outcome: ReplicateOutcome.Applied }:
                tally.Copied();
                return true;
            case ReplicateReply { Outcome: ReplicateOutcome.Older } older:
                tally.Superseded(older.Held);
                return true;
            case ReplicateReply { Outcome: ReplicateOutcome.NotMine } when !isStandIn:
                // It does not own the slot by its own table: it can still hold the copy, and takeover finds it there.
                return await TryCopyAsync(to, isStandIn: true, routing, tally).ConfigureAwait(false);
            default:
                if (!isStandIn)
                {
                    debts.Owe(to, new HeldVersion(tally.Entry.Key.ToArray(), tally.Entry.Version));
                }

                return false;
        }
    }

    /// <summary>Of the timeout of the write.</summary>
    private TimeSpan TimeLeft(CopyTally tally) => options.Timeout - time.GetElapsedTime(tally.StartedAt);
}
