using DistCache.Entries;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// The copies that owners did not take because they could not be reached for a moment, too short for anybody to suspect them. They are
/// offered as soon as the owner answers again; without that it would go on serving what it had until the next comparison. So whoever owes
/// asks for a sign of life all the time, and does not wait for the next read or write to try. Many debts, or an owner that stays away, are
/// left to <see cref="AntiEntropy"/> and <see cref="Takeover"/>; that there are more than it remembers it does not forget.
/// </summary>
internal sealed class Debts(Ownership ownership, PeerCalls calls, Offer offer, TimeProvider time, ILogger logger)
{
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    /// <summary>To each owner; what is beyond is found by comparison.</summary>
    public const int MaximumOwed = 10_000;

    private const int BatchSize = 1_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<NodeName, Queue<HeldVersion>> _owed = [];

    /// <summary>By owner, the latest clock of what it is owed and nobody remembers.</summary>
    private readonly Dictionary<NodeName, ulong> _forgotten = [];
    private readonly CancellationTokenSource _stopping = new();

    /// <summary>No owner is known to lack anything. What is being paid is owed until it is held.</summary>
    public bool AreNone
    {
        get
        {
            lock (_lock)
            {
                return _owed.Count == 0 && _forgotten.Count == 0;
            }
        }
    }

    public void Stop() => _stopping.Cancel();

    public void Owe(Membership.Member owner, HeldVersion entry)
    {
        bool isNew;
        Queue<HeldVersion>? owed;
        lock (_lock)
        {
            isNew = !_owed.TryGetValue(owner.Name, out owed);
            owed ??= _owed[owner.Name] = [];
            if (owed.Count < MaximumOwed)
            {
                owed.Enqueue(entry);
            }
            else
            {
                _forgotten[owner.Name] = Math.Max(_forgotten.GetValueOrDefault(owner.Name), entry.Version.Clock);
            }
        }

        if (isNew)
        {
            StartPaying(owner.Name, owed);
        }
    }

    /// <summary>All owners but these have everything up to a clock: what anybody had, they were offered.</summary>
    public void HaveCompared(ulong upTo, IReadOnlySet<NodeName> except)
    {
        lock (_lock)
        {
            foreach (var (name, _) in _forgotten.Where(forgotten => forgotten.Value <= upTo && !except.Contains(forgotten.Key)).ToArray())
            {
                _forgotten.Remove(name);
            }
        }
    }

    /// <summary>
    /// Each owner is paid by itself, and one that is silent keeps no other waiting. Where nobody is owed anything, as mostly, nobody is woken ten times a second.
    /// </summary>
    private void StartPaying(NodeName name, Queue<HeldVersion> owed)
    {
        // The debt is this node's, and not that of the caller whose write left it.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _ = Rounds.RunAsync(nameof(Debts), Interval, () => PayAsync(name, owed), time, logger, _stopping.Token, () => IsPaid(name, owed));
        }
    }

    /// <summary>What is owed after that is a queue of its own.</summary>
    private bool IsPaid(NodeName name, Queue<HeldVersion> owed)
    {
        lock (_lock)
        {
            if (owed.Count > 0)
            {
                return false;
            }

            _owed.Remove(name);
            return true;
        }
    }

    private async Task PayAsync(NodeName name, Queue<HeldVersion> owed)
    {
        while (First(owed) is { Count: > 0 } debts)
        {
            // In this order: a debt that comes later may be to an owner by a later table.
            var routing = ownership.Current;
            var index = routing.Table.IndexOf(name);

            // Where another owns its slot by now, that one asks for everything, and this debt would never be taken.
            var batch = debts.FindAll(entry => index >= 0 && routing.Table.Owners(Slot.Of(entry.Key.Span)).Contains((ushort)index));
            var lacking = batch.Count == 0 ? [] : await OfferAsync(routing[(ushort)index], batch, routing).ConfigureAwait(false);
            Settle(owed, debts.Count, lacking);
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

    private List<HeldVersion> First(Queue<HeldVersion> owed)
    {
        lock (_lock)
        {
            return [.. owed.Take(BatchSize)];
        }
    }

    /// <summary>So many of the first are no longer owed, except those that the owner lacks. Nobody else takes any, so the first are still the first.</summary>
    private void Settle(Queue<HeldVersion> owed, int count, List<HeldVersion> lacking)
    {
        lock (_lock)
        {
            lacking.ForEach(owed.Enqueue);
            for (; count > 0; count--)
            {
                owed.Dequeue();
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
