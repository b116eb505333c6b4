using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// Makes sure that another owner has what this node holds: tells it keys and versions, and sends the entries that it lacks. Both
/// <see cref="Release"/> and <see cref="AntiEntropy"/> do this; an offer made twice changes nothing.
/// </summary>
internal sealed class Offer(MemoryTier memory, PeerCalls calls, TimeProvider time, ReplicationOptions options)
{
    private const int FirstRentBytes = 4_096;

    private const int ConcurrentSends = 16;

    /// <summary>Says what this node, as an owner, lacks of what another one holds.</summary>
    public CompareReply Handle(CompareRequest request, Routing routing)
    {
        if (request.TableHash != routing.Table.Hash)
        {
            return new CompareReply(IsOwner: false, []);
        }

        List<int> lacking = [];
        for (var i = 0; i < request.Held.Count; i++)
        {
            var (key, version) = request.Held[i];
            if (routing.StandingOf(Slot.Of(key.Span)) == Standing.Holder)
            {
                return new CompareReply(IsOwner: false, []);
            }

            if (memory.Read(key.Span, [], renew: false, out var info, out _) == LookupOutcome.Miss || info.Version < version)
            {
                lacking.Add(i);
            }
        }

        return new CompareReply(IsOwner: true, lacking);
    }

    /// <summary>
    /// Offers entries to one owner; calls <paramref name="held"/> with the position of each that it holds afterwards, in this version or a
    /// later one. Gives how many bytes of keys and values that took.
    /// </summary>
    public async Task<long> MakeAsync(Member owner, IReadOnlyList<HeldVersion> entries, Routing routing, Action<int> held, CancellationToken cancellationToken)
    {
        if (routing.IsUnsure)
        {
            return 0;
        }

        var compare = new CompareRequest(entries, routing.Table.Hash);
        var bytes = entries.Sum(static entry => (long)entry.Key.Length);
        var reply = await calls.SendAsync(owner, compare, routing, options.Timeout, cancellationToken).ConfigureAwait(false);
        if (reply is not CompareReply { IsOwner: true } answer)
        {
            return bytes;
        }

        var lacking = answer.Lacking.ToHashSet();
        foreach (var position in Enumerable.Range(0, entries.Count).Where(position => !lacking.Contains(position)))
        {
            held(position);
        }

        // A few at a time: each takes its value's size of memory until it is sent.
        foreach (var few in lacking.Where(position => position >= 0 && position < entries.Count).Chunk(ConcurrentSends))
        {
            await Task.WhenAll(few.Select(async position =>
            {
                var (isHeld, sent) = await SendAsync(owner, entries[position], routing, cancellationToken).ConfigureAwait(false);
                Interlocked.Add(ref bytes, sent);
                if (isHeld)
                {
                    held(position);
                }
            })).ConfigureAwait(false);

            if (!calls.IsUsable(owner))
            {
                // It has fallen silent: each of the rest would wait for it as well.
                break;
            }
        }

        return bytes;
    }

    /// <summary>True if the owner has it now, or it is not held here under that version any more: then it is no longer ours to offer.</summary>
    private async ValueTask<(bool IsHeld, int Bytes)> SendAsync(Member owner, HeldVersion entry, Routing routing, CancellationToken cancellationToken)
    {
        var buffer = ValueBytes.Rent(FirstRentBytes);
        try
        {
            var outcome = memory.Read(entry.Key.Span, buffer, renew: false, out var info, out var length);
            while (outcome == LookupOutcome.TooSmall)
            {
                ValueBytes.Return(buffer);
                buffer = ValueBytes.Rent(length);
                outcome = memory.Read(entry.Key.Span, buffer, renew: false, out info, out length);
            }

            if (outcome == LookupOutcome.Miss || info.Version != entry.Version)
            {
                return (true, 0);
            }

            var remaining = info.ToRemaining(time.GetUtcNow().ToUnixTimeMilliseconds());
            var record = new EntryRecord(entry.Key, info.Version, remaining, info.Flags, buffer.AsMemory(0, length));
            var request = new ReplicateRequest(record, routing.Table.Hash, StandIn: false);
            var reply = await calls.SendAsync(owner, request, routing, options.Timeout, cancellationToken).ConfigureAwait(false);

            // Refused means that it can never hold it: what it held of this key has gone, and its next answer will say so.
            return (reply is ReplicateReply { Outcome: ReplicateOutcome.Applied or ReplicateOutcome.Older or ReplicateOutcome.Refused }, length);
        }
        finally
        {
            ValueBytes.Return(buffer);
        }
    }
}
