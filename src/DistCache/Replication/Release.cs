using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Memory;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Lets go of what this node holds and does not own: after a change of the table, as a stand-in, before it leaves. A batch is compared
/// with every owner under the same table; what one lacks is sent to it; only what all of them hold is forgotten here.
/// </summary>
internal sealed class Release(
    Ownership ownership, MemoryTier memory, PeerCalls calls, TimeProvider time, ReplicationOptions options, ILogger logger)
{
    /// <summary>How often this node looks whether it holds what it does not own.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private const int BatchBytes = 256 << 10;

    private readonly CancellationTokenSource _stopping = new();

    public void Start() => _ = RunAsync();

    public void Stop() => _stopping.Cancel();

    /// <summary>Whether everything held here is owned here.</summary>
    public bool IsDone => Foreign(ownership.Current).IsEmpty;

    /// <summary>Says what this owner lacks of what another node holds.</summary>
    public CompareReply Handle(CompareRequest request)
    {
        var routing = ownership.Current;
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

    /// <summary>One round over everything that this node holds and does not own; false if something had to stay.</summary>
    public async ValueTask<bool> ReleaseAllAsync(CancellationToken cancellationToken)
    {
        var routing = ownership.Current;
        var foreign = Foreign(routing);
        var cursor = default(TierCursor);
        var isClean = true;
        for (var isEnd = foreign.IsEmpty; !isEnd && ReferenceEquals(ownership.Current.Table, routing.Table);)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var batch = new EntryBatch(BatchBytes, time.GetUtcNow().ToUnixTimeMilliseconds());
            isEnd = memory.Visit(foreign, ref cursor, batch);
            isClean &= await ReleaseAsync(batch.Entries, routing, cancellationToken).ConfigureAwait(false);
        }

        return isClean;
    }

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false))
            {
                if (!IsDone)
                {
                    await ReleaseAllAsync(_stopping.Token).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The node stops; whoever stops it gracefully waits for the hand-over first.
        }
    }

    private SlotSet Foreign(Routing routing)
    {
        var held = memory.HeldSlots();
        var foreign = new SlotSet();
        foreach (var slot in held)
        {
            if (routing.StandingOf(slot) == Standing.Holder)
            {
                foreign.Add(slot);
            }
        }

        return foreign;
    }

    private async ValueTask<bool> ReleaseAsync(IReadOnlyList<EntryRecord> entries, Routing routing, CancellationToken cancellationToken)
    {
        var confirmations = new int[entries.Count];
        var byOwner = entries
            .Select((entry, position) => (entry, position))
            .SelectMany(item => OwnersOf(item.entry, routing), (item, owner) => (owner, item.position))
            .GroupBy(item => item.owner, item => item.position);
        await Task.WhenAll(byOwner.Select(group => OfferAsync(group.Key, [.. group], entries, confirmations, routing, cancellationToken)))
            .ConfigureAwait(false);

        var released = 0;
        for (var i = 0; i < entries.Count; i++)
        {
            if (confirmations[i] == routing.Table.Owners(Slot.Of(entries[i].Key.Span)).Length)
            {
                memory.Forget(entries[i].Key.Span, entries[i].Version);
                released++;
            }
        }

        if (released > 0)
        {
            Log.EntriesReleased(logger, released);
        }

        return released == entries.Count;
    }

    private static ushort[] OwnersOf(EntryRecord entry, Routing routing) => routing.Table.Owners(Slot.Of(entry.Key.Span)).ToArray();

    /// <summary>Compares with one owner, sends what it lacks, and counts what it then holds.</summary>
    private async Task OfferAsync(
        ushort index, List<int> positions, IReadOnlyList<EntryRecord> entries, int[] confirmations, Routing routing, CancellationToken cancellationToken)
    {
        var owner = routing[index];
        var compare = new CompareRequest([.. positions.Select(position => new HeldVersion(entries[position].Key, entries[position].Version))], routing.Table.Hash);
        if (await calls.SendAsync(owner, compare, routing, options.Timeout, cancellationToken).ConfigureAwait(false)
            is not CompareReply { IsOwner: true } reply)
        {
            return;
        }

        var lacking = reply.Lacking.ToHashSet();
        await Task.WhenAll(positions.Select(async (position, i) =>
        {
            if (!lacking.Contains(i) || await SendAsync(owner, entries[position], routing, cancellationToken).ConfigureAwait(false))
            {
                Interlocked.Increment(ref confirmations[position]);
            }
        })).ConfigureAwait(false);
    }

    private async ValueTask<bool> SendAsync(Membership.Member owner, EntryRecord entry, Routing routing, CancellationToken cancellationToken)
    {
        var request = new ReplicateRequest(entry, routing.Table.Hash, StandIn: false);
        return await calls.SendAsync(owner, request, routing, options.Timeout, cancellationToken).ConfigureAwait(false)
            is ReplicateReply { Outcome: ReplicateOutcome.Applied or ReplicateOutcome.Older };
    }
}
