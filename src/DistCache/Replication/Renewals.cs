using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// Tells the other owners of an entry with a sliding window that it was used, in batches. A window is cut into ten parts and the
/// first use in each part is told, so that after a fail-over an entry may end a tenth of its window early and never late.
/// Owners that were away are told later: see <see cref="MissedUses"/>.
/// </summary>
internal sealed class Renewals(Ownership ownership, MemoryTier memory, PeerCalls calls, MissedUses missed, TimeProvider time, ReplicationOptions options)
{
    /// <summary>How long uses are gathered before they are sent. Small against the tenth of any window that waits for it.</summary>
    public static readonly TimeSpan BatchDelay = TimeSpan.FromMilliseconds(200);

    private const int PartsOfWindow = 10;

    /// <summary>Windows shorter than this are told at once, whatever part they are in.</summary>
    private const long ShortWindow = 10_000;

    private const int MaximumBatch = 1_024;

    private readonly Lock _lock = new();
    private List<(byte[] Key, Slot Slot, EntryVersion Version, long At)> _gathered = [];

    /// <summary>An entry was used; <paramref name="before"/> is what was known of it until then.</summary>
    public void Used(ReadOnlySpan<byte> key, Slot slot, in EntryInfo before)
    {
        var routing = ownership.Current;
        var window = before.Expiration.Window;
        var now = Now;

        // In this very millisecond: most likely by a look that found that its value needs more room.
        var isTold = before.LastAccess == now || (window >= ShortWindow && before.LastAccess / (window / PartsOfWindow) == now / (window / PartsOfWindow));
        if (isTold || routing.Table.Owners(slot).Length < 2)
        {
            return;
        }

        bool isFirst;
        bool isFull;
        lock (_lock)
        {
            _gathered.Add((key.ToArray(), slot, before.Version, now));
            isFirst = _gathered.Count == 1;
            isFull = _gathered.Count >= MaximumBatch;
        }

        if (isFull || window < ShortWindow)
        {
            Send();
        }
        else if (isFirst)
        {
            _ = SendLaterAsync();
        }
    }

    /// <summary>Merges what another owner saw.</summary>
    public DoneReply Handle(TouchRequest request)
    {
        foreach (var renewal in request.Renewals)
        {
            memory.Renew(renewal.Key.Span, renewal.Version, Now - Math.Max(0, renewal.Idle));
        }

        return DoneReply.Instance;
    }

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    private async Task SendLaterAsync()
    {
        await Task.Delay(BatchDelay, time).ConfigureAwait(false);
        Send();
    }

    private void Send()
    {
        List<(byte[] Key, Slot Slot, EntryVersion Version, long At)> batch;
        lock (_lock)
        {
            batch = _gathered;
            _gathered = [];
        }

        var routing = ownership.Current;
        var byOwner = new Dictionary<ushort, List<Renewal>>();
        foreach (var (key, slot, version, at) in batch)
        {
            foreach (var owner in routing.Table.Owners(slot))
            {
                if (owner == routing.SelfIndex)
                {
                    continue;
                }

                if (!calls.IsUsable(routing[owner]))
                {
                    missed.Note(routing[owner].Record.Identity, at);
                }
                else
                {
                    (byOwner.TryGetValue(owner, out var list) ? list : byOwner[owner] = []).Add(new Renewal(key, version, Math.Max(0, Now - at)));
                }
            }
        }

        foreach (var (owner, renewals) in byOwner)
        {
            _ = TellAsync(routing[owner], renewals, routing);
        }
    }

    private async Task TellAsync(Member owner, IReadOnlyList<Renewal> renewals, Routing routing)
    {
        var reply = await calls.SendAsync(owner, new TouchRequest(renewals), routing, options.Timeout, CancellationToken.None).ConfigureAwait(false);
        if (reply is not DoneReply)
        {
            missed.Note(owner.Record.Identity, Now - (long)options.Timeout.TotalMilliseconds - renewals.Max(static renewal => renewal.Idle));
        }
    }
}
