using System.Collections.Concurrent;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Tells an owner that was away which entries with a sliding window were used meanwhile, as soon as it owns again: it holds them in the same
/// version, so nothing else would tell it, and from there they would end early. What is remembered is since when it may have missed
/// something; what, the entries know.
/// </summary>
internal sealed class MissedUses(Ownership ownership, MemoryTier memory, PeerCalls calls, TimeProvider time, ReplicationOptions options, ILogger logger)
{
    /// <summary>How often this node looks whether somebody is back.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    /// <summary>Before a member is given up it may have been silent for so long.</summary>
    private static readonly TimeSpan SilenceBeforeDeath = TimeSpan.FromMinutes(1);

    /// <summary>After each batch.</summary>
    private static readonly TimeSpan BatchPause = TimeSpan.FromMilliseconds(50);

    private readonly ConcurrentDictionary<NodeIdentity, long> _since = new();
    private readonly CancellationTokenSource _stopping = new();

    public void Start() => _ = Rounds.RunAsync(nameof(MissedUses), Interval, TellAllAsync, time, logger, _stopping.Token);

    public void Stop() => _stopping.Cancel();

    /// <summary>It was not told of uses since then, by this node's clock in milliseconds.</summary>
    public void Note(NodeIdentity owner, long since) => _since.AddOrUpdate(owner, since, (_, before) => Math.Min(before, since));

    /// <summary>Whoever is given up misses everything from now on, and missed what came just before.</summary>
    public void Follow(MembershipView view)
    {
        foreach (var member in view.Members.Where(static member => member.State == MemberState.Dead))
        {
            _since.TryAdd(member.Record.Identity, Now - (long)SilenceBeforeDeath.TotalMilliseconds);
        }
    }

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    private async Task TellAllAsync()
    {
        // In an order that a replay repeats.
        foreach (var identity in _since.Keys.OrderBy(static identity => identity.Name))
        {
            await TellAsync(identity, ownership.Current).ConfigureAwait(false);
        }
    }

    private async ValueTask TellAsync(NodeIdentity identity, Routing routing)
    {
        if (routing.View.Find(identity.Name) is not { } owner || owner.Record.Identity != identity)
        {
            // Forgotten, or in another life, which fetches everything.
            _since.TryRemove(identity, out _);
            return;
        }

        if (!routing.Knows(identity) || !calls.IsUsable(owner) || !_since.TryRemove(identity, out var since))
        {
            return;
        }

        var shared = SharedSlots(routing, owner);
        var cursor = default(TierCursor);
        for (var isEnd = shared.IsEmpty; !isEnd;)
        {
            var batch = new UseBatch(since, Now);
            isEnd = memory.Visit(shared, ref cursor, batch);
            if (batch.Renewals.Count > 0)
            {
                var touch = new TouchRequest(batch.Renewals);
                if (await calls.SendAsync(owner, touch, routing, options.Timeout, _stopping.Token).ConfigureAwait(false) is not DoneReply)
                {
                    Note(identity, since);
                    return;
                }
            }

            await Task.Delay(BatchPause, time, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static SlotSet SharedSlots(Routing routing, Member other)
    {
        var shared = new SlotSet();
        var index = (ushort)routing.Table.IndexOf(other.Name);
        for (var number = 0; number < Slot.Count; number++)
        {
            var owners = routing.Table.Owners(new Slot(number));
            if (routing.SelfIndex >= 0 && owners.Contains(index) && owners.Contains((ushort)routing.SelfIndex))
            {
                shared.Add(new Slot(number));
            }
        }

        return shared;
    }

    /// <summary>Collects the entries with a sliding window that were used since a moment.</summary>
    private sealed class UseBatch(long since, long now) : IEntryVisitor
    {
        private const int MaximumEntries = 1_000;

        private const int MaximumBytes = 256 << 10;

        /// <summary>Others are looked at for a millisecond or so, then it is the caller's turn.</summary>
        private const int MaximumSkipped = 10_000;

        private readonly List<Renewal> _renewals = [];
        private int _bytes;
        private int _skipped;

        public IReadOnlyList<Renewal> Renewals => _renewals;

        public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
        {
            if (info.Expiration.Window == 0 || info.IsTombstone || info.LastAccess < since)
            {
                return ++_skipped < MaximumSkipped;
            }

            if (_renewals.Count == MaximumEntries || _bytes + key.Length > MaximumBytes)
            {
                return false;
            }

            _bytes += key.Length;
            _renewals.Add(new Renewal(key.ToArray(), info.Version, Math.Max(0, now - info.LastAccess)));
            return true;
        }
    }
}
