using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// Tells the other owners what is read here, so that the hot set survives a fail-over: a replica that nobody reads would evict just what is hot. A sample,
/// once in a while, and nobody hears again of what was lost: whatever is read often is in one of them. Where an entry has a sliding window each use counts:
/// see <see cref="Renewals"/>.
/// </summary>
internal sealed class Recency(Ownership ownership, PeerCalls calls, TimeProvider time, ReplicationOptions options)
{
    /// <summary>How long uses are gathered: so one message a second goes to each other owner at the most.</summary>
    public static readonly TimeSpan BatchDelay = TimeSpan.FromSeconds(1);

    /// <summary>The first so many uses of each batch; the others cost no more than a look at a flag.</summary>
    public const int MaximumSample = 1_024;

    /// <summary>Of keys: a message of them is no large one.</summary>
    private const int MaximumBytes = 32 << 10;

    private readonly Lock _lock = new();
    private readonly List<(byte[] Key, Slot Slot, EntryVersion Version)> _sample = [];
    private int _bytes;
    private volatile bool _isFull;

    /// <summary>This node's copy was read.</summary>
    public void Used(ReadOnlySpan<byte> key, EntryVersion version)
    {
        if (_isFull || ownership.Current is not { IsAlone: false, Table.OwnerCount: > 1 })
        {
            return;
        }

        lock (_lock)
        {
            if (_isFull)
            {
                return;
            }

            _sample.Add((key.ToArray(), Slot.Of(key), version));
            _bytes += key.Length;
            _isFull = _sample.Count == MaximumSample || _bytes >= MaximumBytes;
            if (_sample.Count > 1)
            {
                return;
            }
        }

        // What is told is not the business of the caller who happened to be first.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _ = TellLaterAsync();
        }
    }

    private async Task TellLaterAsync()
    {
        await Task.Delay(BatchDelay, time).ConfigureAwait(false);
        var routing = ownership.Current;
        foreach (var (owner, uses) in TakeByOwner(routing))
        {
            if (calls.IsUsable(routing[owner]))
            {
                // By address: that nobody answers it says nothing, since nobody waits for it.
                _ = calls.SendAsync(routing[owner].Address, new TouchRequest(uses), options.Timeout, CancellationToken.None).AsTask();
            }
        }
    }

    private Dictionary<ushort, List<Renewal>> TakeByOwner(Routing routing)
    {
        var byOwner = new Dictionary<ushort, List<Renewal>>();
        lock (_lock)
        {
            foreach (var (key, slot, version) in _sample)
            {
                foreach (var owner in routing.Table.Owners(slot))
                {
                    if (owner != routing.SelfIndex)
                    {
                        (byOwner.TryGetValue(owner, out var uses) ? uses : byOwner[owner] = []).Add(new Renewal(key, version, Idle: 0));
                    }
                }
            }

            _sample.Clear();
            _bytes = 0;
            _isFull = false;
        }

        return byOwner;
    }
}
