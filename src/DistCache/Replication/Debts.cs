using System.Collections.Concurrent;
using DistCache.Entries;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// The copies that owners did not take because they could not be reached for a moment, too short for anybody to suspect them. They are
/// offered as soon as the owner answers again; without that it would go on serving what it had until the next comparison. So whoever owes
/// asks for a sign of life all the time, and does not wait for the next read or write to try. Many debts, or an owner that stays away, are
/// left to <see cref="AntiEntropy"/> and <see cref="Takeover"/>.
/// </summary>
internal sealed class Debts(Ownership ownership, PeerCalls calls, Offer offer, TimeProvider time, ILogger logger)
{
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    /// <summary>To each owner; what is beyond is found by comparison.</summary>
    private const int MaximumOwed = 10_000;

    private const int BatchSize = 1_000;

    private readonly ConcurrentDictionary<NodeName, ConcurrentQueue<HeldVersion>> _owed = new();
    private readonly CancellationTokenSource _stopping = new();

    private int _isPaying;

    /// <summary>No owner is known to lack anything. What is being paid is in its queue until it is held.</summary>
    public bool AreNone => _owed.Values.All(static queue => queue.IsEmpty);

    public void Stop() => _stopping.Cancel();

    public void Owe(Membership.Member owner, HeldVersion entry)
    {
        var queue = _owed.GetOrAdd(owner.Name, static _ => new ConcurrentQueue<HeldVersion>());
        if (queue.Count < MaximumOwed)
        {
            queue.Enqueue(entry);
        }

        StartPaying();
    }

    /// <summary>A node that owes nothing, and so most of them most of the time, is not woken ten times a second for that.</summary>
    private void StartPaying()
    {
        if (Volatile.Read(ref _isPaying) != 0 || Interlocked.Exchange(ref _isPaying, 1) != 0)
        {
            return;
        }

        // The debt is this node's, and not that of the caller whose write left it.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _ = PayUntilNoneAsync();
        }
    }

    private async Task PayUntilNoneAsync()
    {
        await Rounds.RunAsync(nameof(Debts), Interval, PayAllAsync, time, logger, _stopping.Token, () => AreNone).ConfigureAwait(false);

        // In this order: who owes looks for the paying after it did.
        Interlocked.Exchange(ref _isPaying, 0);
        if (!AreNone && !_stopping.IsCancellationRequested)
        {
            StartPaying();
        }
    }

    /// <summary>In an order that a replay repeats: that of the dictionary goes by hashes of strings, which differ from process to process.</summary>
    private Task PayAllAsync()
    {
        // First the debts: one that comes later may be to an owner by a later table.
        var owed = _owed.ToArray();
        var routing = ownership.Current;
        return Task.WhenAll(owed.OrderBy(static debt => debt.Key).Select(debt => PayAsync(debt.Key, debt.Value, routing)));
    }

    private async Task PayAsync(NodeName name, ConcurrentQueue<HeldVersion> queue, Routing routing)
    {
        var index = routing.Table.IndexOf(name);
        if (index < 0)
        {
            // An owner no more: whoever owns its slots now asks for everything.
            _owed.TryRemove(name, out _);
            return;
        }

        // One that was given up may come back before the table changes, as itself or in another life.
        var owner = routing[(ushort)index];
        while (!queue.IsEmpty && Ownership.MayHold(owner) && (calls.IsUsable(owner) || await IsBackAsync(owner, routing).ConfigureAwait(false)))
        {
            // Where another owns its slot by now, that one asks for everything, and this debt would never be taken.
            var taken = queue.Take(BatchSize).ToList();
            var batch = taken.FindAll(entry => routing.Table.Owners(Slot.Of(entry.Key.Span)).Contains((ushort)index));
            var isHeld = new bool[batch.Count];
            try
            {
                await offer.MakeAsync(owner, batch, routing, held: position => isHeld[position] = true, _stopping.Token).ConfigureAwait(false);
            }
            finally
            {
                // In this order: what is still owed is in the queue at any time. Nobody else takes from it, so its head is what was taken.
                batch.Where((_, position) => !isHeld[position]).ToList().ForEach(queue.Enqueue);
                taken.ForEach(_ => queue.TryDequeue(out var _));
            }

            if (isHeld.Contains(false))
            {
                return;
            }
        }
    }

    /// <summary>
    /// An answer closes the breaker; none leaves it as it is, since this asks more often than the breaker lets others try. A suspect is left
    /// alone until membership has heard it too.
    /// </summary>
    private async ValueTask<bool> IsBackAsync(Membership.Member owner, Routing routing)
    {
        var startedAt = time.GetTimestamp();
        var reply = await calls.SendAsync(owner.Address, new TouchRequest([]), Interval, _stopping.Token).ConfigureAwait(false);
        if (reply is not DoneReply)
        {
            return false;
        }

        await calls.ConcludeAsync(owner, reply, routing, Lane.Data, startedAt, Interval, _stopping.Token).ConfigureAwait(false);
        return calls.IsUsable(owner);
    }
}
