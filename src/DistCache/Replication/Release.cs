using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Memory;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Lets go of what this node holds and does not own: after a change of the table, as a stand-in, before it leaves. A batch is offered
/// to every owner under the same table; only what all of them hold is forgotten here.
/// </summary>
internal sealed class Release(Ownership ownership, MemoryTier memory, Offer offer, TimeProvider time, ILogger logger)
{
    /// <summary>How often this node looks whether it holds what it does not own.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource _stopping = new();

    /// <summary>Whether everything held here is owned here.</summary>
    public bool IsDone => Foreign(ownership.Current).IsEmpty;

    public void Start() => _ = Rounds.RunAsync(nameof(Release), Interval, () => ReleaseAllAsync(ownership.Current, _stopping.Token), time, logger, _stopping.Token);

    public void Stop() => _stopping.Cancel();

    private static bool IsForeign(Slot slot, Routing routing) => routing.StandingOf(slot) == Standing.Holder;

    private SlotSet Foreign(Routing routing)
    {
        var foreign = new SlotSet();
        foreach (var slot in memory.HeldSlots())
        {
            if (IsForeign(slot, routing))
            {
                foreign.Add(slot);
            }
        }

        return foreign;
    }

    private async Task ReleaseAllAsync(Routing routing, CancellationToken cancellationToken)
    {
        // Everything looks like somebody else's then, and none of it would be offered.
        if (routing.IsUnsure)
        {
            return;
        }

        var foreign = Foreign(routing);
        var cursor = default(TierCursor);
        var released = 0;
        for (var isEnd = foreign.IsEmpty; !isEnd && ReferenceEquals(ownership.Current.Table, routing.Table);)
        {
            var batch = new VersionBatch(static (_, _) => true);
            isEnd = memory.Visit(foreign, ref cursor, batch);
            released += await ReleaseAsync(batch.Entries, routing, cancellationToken).ConfigureAwait(false);
        }

        if (released > 0)
        {
            Log.EntriesReleased(logger, released);
        }
    }

    /// <summary>Offers a batch to all owners of its entries, and forgets what all of them hold; how many that are.</summary>
    private async ValueTask<int> ReleaseAsync(IReadOnlyList<HeldVersion> entries, Routing routing, CancellationToken cancellationToken)
    {
        var confirmations = new int[entries.Count];
        var byOwner = Enumerable.Range(0, entries.Count)
            .SelectMany(position => OwnersOf(entries[position], routing), (position, owner) => (owner, position))
            .GroupBy(item => item.owner, item => item.position);
        await Task.WhenAll(byOwner.Select(group =>
        {
            var positions = group.ToArray();
            var offered = Array.ConvertAll(positions, position => entries[position]);
            return offer.MakeAsync(
                routing[group.Key], offered, routing, held: i => Interlocked.Increment(ref confirmations[positions[i]]), cancellationToken);
        })).ConfigureAwait(false);

        var released = 0;
        for (var i = 0; i < entries.Count; i++)
        {
            // Under another table this node may own it by now.
            var isSafe = confirmations[i] == OwnersOf(entries[i], routing).Length && ReferenceEquals(ownership.Current.Table, routing.Table);
            released += isSafe && memory.Forget(entries[i].Key.Span, entries[i].Version) ? 1 : 0;
        }

        return released;
    }

    private static ushort[] OwnersOf(HeldVersion entry, Routing routing) => routing.Table.Owners(Slot.Of(entry.Key.Span)).ToArray();
}
