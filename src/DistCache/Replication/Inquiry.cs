using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// One round of questions to the owners of a slot, under one routing.
/// <list type="number">
/// <item>Owners that are believed to answer are asked in ring order, then the others except the dead.</item>
/// <item>The next one is asked too as soon as one fails, gives an answer that does not settle the matter, or is silent for <see cref="HedgeDelay"/>.</item>
/// <item>The primary's answer counts by itself; a replica's hit does as soon as so many owners answered that one of them has every acknowledged write.</item>
/// <item>Otherwise a hit or tombstone beats a miss, and the higher version the lower.</item>
/// <item>While the owner with the best answer imports, those who may still hold something are asked too.</item>
/// <item>Owners whose answer was behind the best get that one: see <see cref="ReadRepair"/>.</item>
/// </list>
/// </summary>
internal sealed class Inquiry(
    Routing routing,
    Slot slot,
    ReadRequest request,
    Func<ReadRequest, ReadReply> askSelf,
    PeerCalls calls,
    ReadRepair repair,
    TimeProvider time,
    TimeSpan timeout,
    ReplicationOptions options)
{
    /// <summary>How long an owner may be silent before the next one is asked too.</summary>
    public static readonly TimeSpan HedgeDelay = TimeSpan.FromMilliseconds(20);

    private readonly long _startedAt = time.GetTimestamp();
    private readonly List<(Member Owner, Task<PeerReply> Reply)> _asked = [];
    private readonly List<(Member Owner, EntryVersion Version)> _heard = [];
    private ReadReply? _best;

    /// <summary>Somebody that should own the slot says that it does not.</summary>
    public bool WasDisowned { get; private set; }

    /// <summary>The answer that counts; null if nobody gave one.</summary>
    /// <param name="first">The owner that was asked already, if one was.</param>
    /// <param name="firstReply">Its reply; not there yet if it was silent for the hedge delay.</param>
    /// <param name="cancellationToken">The caller gives up.</param>
    public async ValueTask<ReadReply?> RunAsync(Member? first, Task<PeerReply>? firstReply, CancellationToken cancellationToken)
    {
        var owners = InOrderOfAsking(except: first);
        var atOnce = AnswersWanted;
        if (firstReply is not null)
        {
            _asked.Add((first!, firstReply));
            atOnce += firstReply.IsCompleted ? 0 : 1;
        }

        try
        {
            if (!await AskOwnersAsync(owners, atOnce, cancellationToken).ConfigureAwait(false))
            {
                await AskHoldersAsync(cancellationToken).ConfigureAwait(false);
            }

            return Repaired();
        }
        finally
        {
            _asked.ForEach(static asked => _ = ReleaseAsync(asked.Reply));
        }
    }

    /// <summary>Whether this reply, as the first, settles the matter; it is not to be released then.</summary>
    public static bool IsSettledBy(PeerReply reply, ulong tableHash, ReplicationOptions options) =>
        options.ReadFrom != ReadFrom.Majority && reply is ReadReply { Standing: Standing.Primary } read && Counts(read, tableHash);

    /// <summary>A hit counts whatever table its sender works by; "nothing there" only under the asker's own.</summary>
    private static bool Counts(ReadReply reply, ulong tableHash) =>
        reply.Outcome is ReadOutcome.Hit or ReadOutcome.Tombstone || (reply.Outcome == ReadOutcome.Miss && reply.TableHash == tableHash);

    private int AnswersWanted => options.ReadFrom == ReadFrom.Majority ? (routing.Table.Owners(slot).Length / 2) + 1 : 1;

    /// <summary>An owner that is silent for so long gets no more of the time that is left for the others.</summary>
    private TimeSpan Patience
    {
        get
        {
            var left = timeout - time.GetElapsedTime(_startedAt);
            return left < options.Timeout / 2 ? left : options.Timeout / 2;
        }
    }

    /// <summary>Until the matter is settled; false if they had no more to say than they said.</summary>
    private async ValueTask<bool> AskOwnersAsync(List<Member> owners, int atOnce, CancellationToken cancellationToken)
    {
        var next = 0;
        while (next < owners.Count || _asked.Count > 0)
        {
            while (next < owners.Count && _asked.Count < atOnce)
            {
                var owner = owners[next++];
                _asked.Add((owner, AskAsync(owner, cancellationToken)));
            }

            if (await FirstAnswerAsync(mayHedge: next < owners.Count).ConfigureAwait(false) is not var (answered, reply))
            {
                atOnce++;
                continue;
            }

            // One that is still importing gets everything anyway, and of a majority it is none: it may lack what others had to take.
            if (reply is ReadReply { Standing: Standing.Primary or Standing.Replica } read)
            {
                _heard.Add((answered, read.Version));
            }

            if (Weigh(reply) && IsSettled())
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Of one who was asked and whom nobody waits for any more: what he lent goes back.</summary>
    private static async Task ReleaseAsync(Task<PeerReply> late)
    {
        await ((Task)late).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (late.IsCompletedSuccessfully)
        {
            (await late.ConfigureAwait(false)).Release();
        }
    }

    private List<Member> InOrderOfAsking(Member? except)
    {
        List<Member> usable = [];
        List<Member> doubtful = [];
        foreach (var index in routing.Table.Owners(slot))
        {
            var owner = routing[index];
            if (owner.Record.Identity == except?.Record.Identity)
            {
                continue;
            }

            if (routing.IsSelf(owner) || calls.IsUsable(owner))
            {
                usable.Add(owner);
            }
            else if (Ownership.MayHold(owner))
            {
                doubtful.Add(owner);
            }
        }

        return [.. usable, .. doubtful];
    }

    private Task<PeerReply> AskAsync(Member owner, CancellationToken cancellationToken) => routing.IsSelf(owner)
        ? Task.FromResult<PeerReply>(askSelf(request))
        : calls.SendAsync(owner, request, routing, Patience, cancellationToken).AsTask();

    /// <summary>Waits for any of those asked; null when the hedge delay is over first.</summary>
    private async ValueTask<(Member Owner, PeerReply Reply)?> FirstAnswerAsync(bool mayHedge)
    {
        var first = _asked.FindIndex(asked => asked.Reply.IsCompleted);
        if (first < 0)
        {
            var any = Task.WhenAny(_asked.Select(asked => asked.Reply));
            if (mayHedge && await Task.WhenAny(any, Task.Delay(HedgeDelay, time)).ConfigureAwait(false) != any)
            {
                return null;
            }

            await any.ConfigureAwait(false);
            first = _asked.FindIndex(asked => asked.Reply.IsCompleted);
        }

        var (owner, reply) = _asked[first];
        _asked.RemoveAt(first);
        return (owner, await reply.ConfigureAwait(false));
    }

    private ReadReply? Repaired()
    {
        if (_best is not null && request.WithValue && _heard.Exists(answer => answer.Version < _best.Version))
        {
            repair.Mend(routing, request.Key, _best, _heard.Where(answer => answer.Version < _best.Version).Select(answer => answer.Owner));
        }

        return _best;
    }

    /// <summary>Takes an answer into account; false if it is none.</summary>
    private bool Weigh(PeerReply reply)
    {
        if (reply is not ReadReply read)
        {
            return false;
        }

        if (read.Outcome == ReadOutcome.NotMine)
        {
            WasDisowned = true;
            return false;
        }

        _best = Better(_best, read);
        return true;
    }

    private bool IsSettled() => options.ReadFrom switch
    {
        _ when _best is null or { Standing: Standing.Holder or Standing.Importing } => false,
        ReadFrom.Majority => _heard.Count >= AnswersWanted,
        _ when _best.Standing == Standing.Primary => Counts(_best, routing.Table.Hash),
        ReadFrom.Nearest => _best.Outcome != ReadOutcome.Miss,
        _ => _best.Outcome != ReadOutcome.Miss && HasMetEveryAcknowledgedWrite,
    };

    /// <summary>The owners that were heard and those that must have had a write for its acknowledgement are more than there are.</summary>
    private bool HasMetEveryAcknowledgedWrite =>
        _heard.Count + Math.Min(WritePath.CopiesNeeded(options.WriteAck, routing.Table.ReplicaCount), routing.Table.OwnerCount) > routing.Table.OwnerCount;

    /// <summary>
    /// Tables differ, and no owner by this one answers: who owns the slot by another, or did, may hold the entry. Null unless somebody shows something.
    /// </summary>
    public async ValueTask<ReadReply?> AskEverybodyAsync(CancellationToken cancellationToken)
    {
        var usable = routing.LiveMembers.Where(member => routing.IsSelf(member) || calls.IsUsable(member));
        await AskHoldersAsync(usable.Select(static member => member.Address), cancellationToken).ConfigureAwait(false);
        if (_best is { Outcome: ReadOutcome.Miss })
        {
            _best.Release();
            _best = null;
        }

        return _best;
    }

    /// <summary>What an importing owner lacks is with the holders that it named.</summary>
    private async ValueTask AskHoldersAsync(CancellationToken cancellationToken)
    {
        if (_best is not { Holders.Count: > 0 })
        {
            return;
        }

        var holders = _best.Holders.ToLookup(IsUsable);
        await AskHoldersAsync(holders[true], cancellationToken).ConfigureAwait(false);
        if (_best.Outcome == ReadOutcome.Miss)
        {
            // Silent ones cost the whole patience: only where there is nothing to lose.
            await AskHoldersAsync(holders[false], cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask AskHoldersAsync(IEnumerable<PeerAddress> holders, CancellationToken cancellationToken)
    {
        var asHolder = request with { AsHolder = true };
        var asked = holders.Select(holder => holder == routing.View.Self.Address
            ? Task.FromResult<PeerReply>(askSelf(asHolder))
            : calls.SendAsync(holder, asHolder, Patience, cancellationToken).AsTask());
        foreach (var reply in await Task.WhenAll(asked).ConfigureAwait(false))
        {
            Weigh(reply);
        }
    }

    private bool IsUsable(PeerAddress address) =>
        routing.LiveMembers.FirstOrDefault(member => member.Address == address) is not { } member || routing.IsSelf(member) || calls.IsUsable(member);

    /// <summary>
    /// A hit or tombstone beats a miss (which has no version), then the higher version the lower, then the weightier word, then a hit the tombstone that it
    /// left where it ended: there nobody knows of the uses since.
    /// </summary>
    private static ReadReply Better(ReadReply? best, ReadReply other)
    {
        if (best is null)
        {
            return other;
        }

        var otherWins = other.Version != best.Version ? other.Version > best.Version
            : other.Standing != best.Standing ? other.Standing > best.Standing
            : other.Outcome == ReadOutcome.Hit;
        var (winner, loser) = otherWins ? (other, best) : (best, other);
        loser.Release();
        return winner.Holders.Count == 0 && loser.Holders.Count > 0 ? winner with { Holders = loser.Holders } : winner;
    }
}
