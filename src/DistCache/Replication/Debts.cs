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

    private readonly Lock _lock = new();
    private readonly Dictionary<NodeName, Queue<HeldVersion>> _owed = [];
    private readonly CancellationTokenSource _stopping = new();

    private int _isPaying;

    /// <summary>No owner is known to lack anything. What is being paid is owed until it is held.</summary>
    public bool AreNone
    {
        get
        {
            lock (_lock)
            {
                return _owed.Count == 0;
            }
        }
    }

    public void Stop() => _stopping.Cancel();

    public void Owe(Membership.Member owner, HeldVersion entry)
    {
        lock (_lock)
        {
            var queue = _owed.TryGetValue(owner.Name, out var owed) ? owed : _owed[owner.Name] = [];
            if (queue.Count < MaximumOwed)
            {
                queue.Enqueue(entry);
            }
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

    /// <summary>In an order that a replay repeats: that of a dictionary goes by what was added and taken out before.</summary>
    private Task PayAllAsync()
    {
        NodeName[] names;
        lock (_lock)
        {
            names = [.. _owed.Keys.Order()];
        }

        return Task.WhenAll(names.Select(PayAsync));
    }

    private async Task PayAsync(NodeName name)
    {
        while (FirstOwed(name) is { Count: > 0 } debts)
        {
            // In this order: a debt that comes later may be to an owner by a later table.
            var routing = ownership.Current;
            var index = routing.Table.IndexOf(name);

            // Where another owns its slot by now, that one asks for everything, and this debt would never be taken.
            var batch = debts.FindAll(entry => index >= 0 && routing.Table.Owners(Slot.Of(entry.Key.Span)).Contains((ushort)index));
            var lacking = batch.Count == 0 ? [] : await OfferAsync(routing[(ushort)index], batch, routing).ConfigureAwait(false);
            Settle(name, debts.Count, lacking);
            if (lacking.Count > 0)
            {
                return;
            }
        }
    }

    /// <summary>Gives what the owner still lacks.</summary>
    private async ValueTask<List<HeldVersion>> OfferAsync(Membership.Member owner, List<HeldVersion> batch, Routing routing)
    {
        // One that was given up may come back before the table changes, as itself or in another life.
        if (!Ownership.MayHold(owner) || !(calls.IsUsable(owner) || await IsBackAsync(owner, routing).ConfigureAwait(false)))
        {
            return batch;
        }

        var isHeld = new bool[batch.Count];
        await offer.MakeAsync(owner, batch, routing, held: position => isHeld[position] = true, _stopping.Token).ConfigureAwait(false);
        return [.. batch.Where((_, position) => !isHeld[position])];
    }

    private List<HeldVersion> FirstOwed(NodeName name)
    {
        lock (_lock)
        {
            return _owed.TryGetValue(name, out var queue) ? [.. queue.Take(BatchSize)] : [];
        }
    }

    /// <summary>So many of the first are no longer owed, except those that the owner lacks. Nobody else takes any, so the first are still the first.</summary>
    private void Settle(NodeName name, int count, List<HeldVersion> lacking)
    {
        lock (_lock)
        {
            var queue = _owed[name];
            lacking.ForEach(queue.Enqueue);
            for (; count > 0; count--)
            {
                queue.Dequeue();
            }

            if (queue.Count == 0)
            {
                _owed.Remove(name);
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
