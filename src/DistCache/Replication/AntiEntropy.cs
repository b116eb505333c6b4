using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Brings what the owners of a slot hold back together, whatever made it differ: a copy that did not arrive, a stand-in's that came
/// home late, a crash between two copies. Every <see cref="Interval"/> each owner, for each other owner:
/// <list type="number">
/// <item>sends the digests of the slots that both own, and learns which differ;</item>
/// <item>offers what it holds of those, from the version up to which both agreed the last time;</item>
/// <item>notes the version up to which they agree now.</item>
/// </list>
/// Where all co-owners agree up to a version, nobody else holds anything and nobody is away, no older copy can come back: see <see cref="ConfirmAsync"/>.
/// What is older than an agreement was there on both sides and can only have been evicted since, or dropped as a tombstone: it is no
/// difference, so two full nodes that evict differently stay quiet. Versions younger than <see cref="MinimumAge"/> are left out, since
/// they are on their way: see <see cref="VersionAge"/>.
/// </summary>
internal sealed class AntiEntropy(
    Ownership ownership,
    MemoryTier memory,
    PeerCalls calls,
    Offer offer,
    Debts debts,
    Absences absences,
    VersionAge age,
    TimeProvider time,
    Random random,
    ReplicationOptions options,
    ILogger logger)
{
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(30);

    /// <summary>Or longer, where <see cref="ReplicationOptions.Timeout"/> is: see <see cref="VersionAge"/>.</summary>
    public static readonly TimeSpan MinimumAge = TimeSpan.FromSeconds(10);

    /// <summary>Keys and values that go out; after a batch it rests until it is below that.</summary>
    private const int MaximumBytesPerSecond = 1 << 20;

    /// <summary>The least rest after a batch, which is about a millisecond's work on either side: a hundredth of a core.</summary>
    private static readonly TimeSpan BatchPause = TimeSpan.FromMilliseconds(100);

    private readonly Dictionary<NodeIdentity, Dictionary<Slot, ulong>> _agreedClocks = [];
    private NodeIdentity _agreedAs;
    private readonly CancellationTokenSource _stopping = new();

    public void Start() => _ = RunAsync();

    public void Stop() => _stopping.Cancel();

    /// <summary>Says which slots differ here.</summary>
    public DigestReply Handle(DigestRequest request)
    {
        var differing = new SlotSet();
        if (request.TableHash != ownership.Current.Table.Hash)
        {
            return new DigestReply(IsSameTable: false, differing);
        }

        var i = 0;
        foreach (var slot in request.Slots)
        {
            if (i < request.Digests.Count && memory.DigestOf(slot) != request.Digests[i++])
            {
                differing.Add(slot);
            }
        }

        return new DigestReply(IsSameTable: true, differing);
    }

    /// <summary>Asks which of these slots differ from what this node holds.</summary>
    public static DigestRequest DigestsOf(MemoryTier memory, SlotSet slots, Routing routing)
    {
        List<long> digests = [];
        foreach (var slot in slots)
        {
            digests.Add(memory.DigestOf(slot));
        }

        return new DigestRequest(slots, digests, routing.Table.Hash);
    }

    private async Task RunAsync()
    {
        // Nodes that start together do not all compare at the same moment.
        await Task.Delay(Interval / 4 * random.NextDouble(), time, CancellationToken.None).ConfigureAwait(false);
        await Rounds.RunAsync(nameof(AntiEntropy), Interval, CompareWithAllAsync, time, logger, _stopping.Token).ConfigureAwait(false);
    }

    /// <summary>One round, with every other owner.</summary>
    public async Task CompareWithAllAsync()
    {
        age.Note();
        var isNobodyMissing = absences.IsNone;
        var routing = ownership.Current;
        if (routing.SelfIndex < 0 || !routing.Import.IsComplete)
        {
            return;
        }

        if (_agreedAs != routing.View.Self.Record.Identity)
        {
            // In another life it held what was agreed on.
            _agreedClocks.Clear();
            _agreedAs = routing.View.Self.Record.Identity;
        }

        var upTo = age.Limit;
        var shared = SharedSlots(routing);
        var differing = new HashSet<NodeName>();
        foreach (var (index, slots) in shared)
        {
            _stopping.Token.ThrowIfCancellationRequested();
            var owner = routing[index];
            if (!ReferenceEquals(ownership.Current.Table, routing.Table)
                || !calls.IsUsable(owner)
                || !await TryAgreeAsync(owner, slots, routing).ConfigureAwait(false))
            {
                differing.Add(owner.Name);
            }
        }

        debts.HaveCompared(upTo, except: differing);
        await ConfirmAsync(upTo, shared, routing, isNobodyMissing).ConfigureAwait(false);

        foreach (var gone in _agreedClocks.Keys.Where(identity => !routing.Knows(identity)).ToList())
        {
            _agreedClocks.Remove(gone);
        }
    }

    /// <summary>
    /// Tells the memory tier up to which version nobody can have anything older, slot by slot. That is the lowest agreement with the other
    /// owners, where
    /// <list type="number">
    /// <item>every member answered, by the same table,</item>
    /// <item>those who do not own the slot hold nothing of it,</item>
    /// <item>and nobody misses anybody: neither before the round, else one might come back in the middle of it, nor after it.</item>
    /// </list>
    /// A watermark and not a mark on each entry: it costs no message for a key, and 4 bytes for a slot.
    /// </summary>
    private async ValueTask ConfirmAsync(ulong upTo, Dictionary<ushort, SlotSet> shared, Routing routing, bool isNobodyMissing)
    {
        var strays = new SlotSet();
        foreach (var member in routing.LiveMembers.Where(member => !routing.IsSelf(member)))
        {
            var askedAt = time.GetTimestamp();
            var reply = await calls.SendAsync(member, new HoldingsRequest(routing.Table.Hash), routing, options.Timeout, _stopping.Token).ConfigureAwait(false);
            if (reply is not HoldingsReply holdings || holdings.TableHash != routing.Table.Hash)
            {
                return;
            }

            ownership.Hear(member.Record.Identity, holdings, askedAt);
            var held = holdings.Held.Copy();
            if (routing.Table.IndexOf(member.Name) is >= 0 and var index && shared.TryGetValue((ushort)index, out var owned))
            {
                held.ExceptWith(owned);
            }

            strays.UnionWith(held);
        }

        if (!isNobodyMissing || !absences.IsNone || !ReferenceEquals(ownership.Current.Table, routing.Table) || ownership.Current.LiveMembers.Any(IsNew))
        {
            return;
        }

        for (var number = 0; number < Slot.Count; number++)
        {
            var slot = new Slot(number);
            if (routing.StandingOf(slot) != Standing.Holder && !strays.Contains(slot))
            {
                memory.Confirm(slot, AgreedByAll(slot, upTo, routing));
            }
        }

        bool IsNew(Member member) => !routing.LiveMembers.Any(asked => asked.Record.Identity == member.Record.Identity);
    }

    private ulong AgreedByAll(Slot slot, ulong upTo, Routing routing)
    {
        foreach (var owner in routing.Table.Owners(slot))
        {
            if (owner != routing.SelfIndex)
            {
                upTo = Math.Min(upTo, AgreedWith(routing[owner]).GetValueOrDefault(slot));
            }
        }

        return upTo;
    }

    /// <summary>False if it did not come to an end.</summary>
    private async ValueTask<bool> TryAgreeAsync(Member owner, SlotSet slots, Routing routing)
    {
        var upTo = age.Limit;
        var reply = await calls.SendAsync(owner, DigestsOf(memory, slots, routing), routing, options.Timeout, _stopping.Token).ConfigureAwait(false);
        if (reply is not DigestReply { IsSameTable: true, Differing: { } differing }
            || !await RepairAsync(owner, differing, upTo, routing).ConfigureAwait(false))
        {
            return false;
        }

        var agreed = AgreedWith(owner);
        foreach (var slot in slots)
        {
            agreed[slot] = upTo;
        }

        return true;
    }

    /// <summary>Offers what both sides may not agree on; false if it did not come to an end.</summary>
    private async ValueTask<bool> RepairAsync(Member owner, SlotSet differing, ulong upTo, Routing routing)
    {
        var agreed = AgreedWith(owner);
        var cursor = default(TierCursor);
        for (var isEnd = differing.IsEmpty; !isEnd;)
        {
            var batch = new VersionBatch((slot, version) => version.Clock <= upTo && version.Clock > agreed.GetValueOrDefault(slot));
            isEnd = memory.Visit(differing, ref cursor, batch);
            var bytes = 0L;
            if (batch.Entries.Count > 0)
            {
                var held = 0;
                bytes = await offer.MakeAsync(owner, batch.Entries, routing, held: _ => Interlocked.Increment(ref held), _stopping.Token).ConfigureAwait(false);
                Metrics.EntriesCompared(batch.Entries.Count);
                if (held < batch.Entries.Count)
                {
                    return false;
                }
            }

            if (!isEnd || bytes > MaximumBytesPerSecond)
            {
                var pause = TimeSpan.FromSeconds((double)bytes / MaximumBytesPerSecond);
                await Task.Delay(pause > BatchPause ? pause : BatchPause, time, CancellationToken.None).ConfigureAwait(false);
            }
        }

        if (!differing.IsEmpty)
        {
            Log.SlotsCompared(logger, owner.Record.Identity, differing.Count);
        }

        return true;
    }

    private Dictionary<Slot, ulong> AgreedWith(Member owner) =>
        _agreedClocks.TryGetValue(owner.Record.Identity, out var agreed) ? agreed : _agreedClocks[owner.Record.Identity] = [];

    /// <summary>By other owner, the slots that both own.</summary>
    private static Dictionary<ushort, SlotSet> SharedSlots(Routing routing)
    {
        var shared = new Dictionary<ushort, SlotSet>();
        for (var number = 0; number < Slot.Count; number++)
        {
            var slot = new Slot(number);
            var owners = routing.Table.Owners(slot);
            if (!owners.Contains((ushort)routing.SelfIndex))
            {
                continue;
            }

            foreach (var owner in owners)
            {
                if (owner != routing.SelfIndex)
                {
                    (shared.TryGetValue(owner, out var slots) ? slots : shared[owner] = new SlotSet()).Add(slot);
                }
            }
        }

        return shared;
    }
}
