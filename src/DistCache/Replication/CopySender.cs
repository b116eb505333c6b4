using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// What the acting primary sends when it leads a write: a copy to each other owner, one to a stand-in where an owner does not answer, and
/// word to <see cref="Debts"/> of what an owner did not take. The tally counts them.
/// </summary>
internal sealed class CopySender(PeerCalls calls, Debts debts, TimeProvider time, ReplicationOptions options)
{
    /// <summary>Nodes that can hold a copy for an owner that does not answer, best first.</summary>
    public IEnumerable<Member> StandIns(Routing routing, Slot slot)
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

    /// <summary>To all other owners at once, the passed-over ones too; says that it has done with the tally, as the tally is open for it.</summary>
    public void Send(Routing routing, Slot slot, bool passedOver, CopyTally tally)
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
                _ = CopyToAsync(owner, routing, tally, isAwaited: isBeforeSelf, standInAfter: true);
                continue;
            }

            _ = StandInAsync(routing, tally);
            if (Ownership.MayHold(owner))
            {
                _ = CopyToAsync(owner, routing, tally, isAwaited: false, standInAfter: false);
                continue;
            }

            // Given up, and in the table still: if it comes back before that changes, it may have asked everybody before this node heard of it.
            Owe(owner, tally);
        }

        tally.NoLongerAwaited();
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

    private async Task CopyToAsync(Member owner, Routing routing, CopyTally tally, bool isAwaited, bool standInAfter)
    {
        tally.Open();
        try
        {
            if (isAwaited)
            {
                // The writer may have given him up, for a moment, and nobody else.
                tally.Await();
            }

            var isHeld = await TryCopyAsync(owner, isStandIn: false, routing, tally).ConfigureAwait(false);
            if (isAwaited)
            {
                tally.NoLongerAwaited();
            }

            if (!isHeld && standInAfter)
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
        var copying = calls.SendAsync(to, request, routing, patience, CancellationToken.None);
        if (tally.Entry.Value.Length > LaneLimits.InlineBytes)
        {
            var copy = copying.AsTask();
            _ = AskMeanwhileAsync(to, routing, copy);
            copying = new(copy);
        }

        var reply = await copying.ConfigureAwait(false);
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
                    Owe(to, tally);
                }

                tally.Lack(isForGood: reply is not PeerFault);
                return false;
        }
    }

    /// <summary>
    /// That a large copy is late says nothing about a member; that it answers no small question meanwhile does, opens its breaker, and then its copy is not needed.
    /// Asked again before the breaker closes, but no sooner where a question fails at once.
    /// </summary>
    private async Task AskMeanwhileAsync(Member member, Routing routing, Task copy)
    {
        var patience = options.Timeout / 4;
        var pace = patience < PeerCalls.BreakerOpenTime / 2 ? patience : PeerCalls.BreakerOpenTime / 2;
        while (!copy.IsCompleted)
        {
            var askedAt = time.GetTimestamp();
            var reply = await calls.SendAsync(member, new TouchRequest([]), routing, patience, CancellationToken.None).ConfigureAwait(false);
            if (reply is not PeerFault)
            {
                return;
            }

            if (pace - time.GetElapsedTime(askedAt) is var rest && rest > TimeSpan.Zero)
            {
                await Task.Delay(rest, time, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    private void Owe(Member owner, CopyTally tally) => debts.Owe(owner, new HeldVersion(tally.Entry.Key.ToArray(), tally.Entry.Version));

    /// <summary>For another copy, besides what that may take longer as it is large.</summary>
    private TimeSpan TimeLeft(CopyTally tally) => time.GetElapsedTime(time.GetTimestamp(), tally.Deadline) - LaneLimits.TimeFor(tally.Entry.Value.Length);
}
