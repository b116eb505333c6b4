using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// A read that asked several owners and heard different versions gives the newest to those who are behind. They would get it from
/// <see cref="Debts"/> or <see cref="AntiEntropy"/> as well, which take longer. Nobody waits for it.
/// </summary>
internal sealed class ReadRepair(Ownership ownership, OwnedWrites owned, PeerCalls calls, VersionAge age, ReplicationOptions options)
{
    /// <param name="routing">What the read went by.</param>
    /// <param name="key">What was read; copied.</param>
    /// <param name="newest">The answer that counts, with its value; copied.</param>
    /// <param name="behind">The owners that answered with less.</param>
    public void Mend(Routing routing, ReadOnlyMemory<byte> key, ReadReply newest, IEnumerable<Member> behind)
    {
        // By another table an owner that answered may be a stranger by now, to whom this node has yielded.
        if (!ownership.IsCurrent(routing))
        {
            return;
        }

        // A write that is under way repairs itself.
        var isUnderWay = newest.Version.Clock > age.UpTo(options.Timeout);
        if (isUnderWay || newest.Outcome is not (ReadOutcome.Hit or ReadOutcome.Tombstone))
        {
            return;
        }

        var isTombstone = newest.Outcome == ReadOutcome.Tombstone;
        var remaining = isTombstone ? new RemainingTime((long)options.TombstoneLifetime.TotalMilliseconds, 0, 0) : newest.Remaining;
        var flags = isTombstone ? EntryFlags.Tombstone : EntryFlags.None;
        var entry = new EntryRecord(key.ToArray(), newest.Version, remaining, flags, newest.Value.ToArray());
        foreach (var owner in behind)
        {
            if (routing.IsSelf(owner))
            {
                owned.Take(entry, out _);
                continue;
            }

            _ = calls.SendAsync(owner, new ReplicateRequest(entry, routing.Table.Hash, StandIn: false), routing, options.Timeout, CancellationToken.None).AsTask();
        }
    }
}
