using DistCache.Diagnostics;
using DistCache.Memory;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Decides who begins anew when members meet again that were apart for longer than tombstones live: what one side still holds, the other may
/// have removed and forgotten. Until that is decided each side works by a table of its own.
/// <list type="number">
/// <item>Every <see cref="Interval"/> all members are asked by which table they work, and who is a stranger to them.</item>
/// <item>Strangers with one table are a side; this node's own side is all who are no strangers to it. The larger one stays; of equal ones that
/// with the smallest name.</item>
/// <item>A node whose side loses <see cref="RoundsToLose"/> times in succession clears itself and takes a new incarnation, which says "started
/// empty": it is a stranger to nobody, and fetches what it owns.</item>
/// <item>A node that stood still, and that somebody went on without, does so at once: it wrote nothing meanwhile. Others do not count it either,
/// as long as it says that it stood still.</item>
/// </list>
/// Two sides never both lose: nobody counts more in another side than that counts in itself. A side of which only a part answers looks smaller
/// than it is, so that at the worst none loses, and it is asked again.
/// </summary>
internal sealed class Reunion(Ownership ownership, Absences absences, MemoryTier memory, PeerCalls calls, TimeProvider time, ReplicationOptions options, ILogger logger)
{
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    /// <summary>Longer than any settling takes: members that meet learn of each other one by one.</summary>
    private const int RoundsToLose = 10;

    private readonly CancellationTokenSource _stopping = new();
    private bool _isApart;
    private int _lost;

    /// <summary>Gives this node another incarnation.</summary>
    public Action TakeNewLife { get; set; } = static () => { };

    public void Start() => _ = Rounds.RunAsync(nameof(Reunion), Interval, LookAsync, time, logger, _stopping.Token);

    public void Stop() => _stopping.Cancel();

    /// <summary>This node drops all that it holds, and is as good as just started.</summary>
    /// <param name="told">Who is a stranger to those whom it joins.</param>
    public void BeginAnew(IEnumerable<Absence> told)
    {
        // From here on nothing is taken of the old side, and what was being taken just then goes the second time. All of that before the new life
        // begins, since what comes then is there to stay.
        absences.BeginAnew(told);
        memory.Clear();
        memory.Clear();
        TakeNewLife();

        // Not sooner: the old life, empty now, would be sure of that.
        absences.HasBegun();
        ownership.Review();
        Log.BegunAnew(logger, ownership.Current.View.Self.Record.Identity);
    }

    private async Task LookAsync()
    {
        var routing = ownership.Current;
        if (routing.IsUnsure && !absences.IsUnsure)
        {
            ownership.Review();
        }

        var others = ownership.Members.Members.Where(member => !routing.IsSelf(member) && Ownership.MayHold(member)).ToArray();
        var strangers = Array.FindAll(others, member => absences.IsStranger(member.Record.Identity));
        if (strangers.Length > 0 && !_isApart)
        {
            Log.StrangersMet(logger, string.Join(' ', strangers.Select(static member => member.Record.Identity)));
        }

        _isApart = strangers.Length > 0;
        if (!_isApart && !routing.IsUnsure)
        {
            _lost = 0;
            return;
        }

        var askedAt = time.GetTimestamp();
        var replies = await Task.WhenAll(others.Select(member =>
            calls.SendAsync(member, new HoldingsRequest(routing.Table.Hash), routing, options.Timeout, _stopping.Token).AsTask())).ConfigureAwait(false);
        var told = new Dictionary<NodeIdentity, HoldingsReply>();
        foreach (var (member, reply) in others.Zip(replies))
        {
            if (reply is HoldingsReply holdings)
            {
                told.Add(member.Record.Identity, holdings);
                ownership.Hear(member.Record.Identity, holdings, askedAt);
            }
        }

        var self = ownership.Members.Self.Record.Identity;
        var wasGoneOnWithout = absences.HasStoodStill && told.Values.Any(reply => Names(reply, self));
        if (FindWinner(told, wasGoneOnWithout) is not { } winner)
        {
            _lost = 0;
        }
        else if (wasGoneOnWithout || ++_lost >= RoundsToLose)
        {
            _lost = 0;
            BeginAnew(winner.SelectMany(identity => told[identity].Missing));
        }
    }

    /// <summary>The side to which this node's own one yields; null if it stays.</summary>
    private IReadOnlyCollection<NodeIdentity>? FindWinner(Dictionary<NodeIdentity, HoldingsReply> told, bool wasGoneOnWithout)
    {
        NodeIdentity[] own = [.. ownership.Members.Members
            .Where(member => !wasGoneOnWithout && Ownership.MayHold(member) && !absences.IsStranger(member.Record.Identity))
            .Select(static member => member.Record.Identity)];
        var winner = own;
        foreach (var side in told.Keys
            .Where(identity => absences.IsStranger(identity) && IsCounted(told[identity], identity))
            .GroupBy(identity => told[identity].TableHash, (_, identities) => identities.ToArray()))
        {
            winner = IsGreater(side, winner) ? side : winner;
        }

        return winner == own ? null : winner;
    }

    /// <summary>
    /// Who says that he stood still is no side, except for one that says the same and is unsure, where he is not: of these two only the unsure
    /// one counts the other, and so never both yield.
    /// </summary>
    private bool IsCounted(HoldingsReply reply, NodeIdentity identity) =>
        !Names(reply, identity) || (reply.IsWhole && absences.IsUnsure && absences.HasStoodStill);

    /// <summary>That one says that this one was away for too long; said of itself, that it stood still.</summary>
    private static bool Names(HoldingsReply reply, NodeIdentity identity) => reply.Missing.Any(absence => absence.IsTooLate && absence.Identity == identity);

    private static bool IsGreater(NodeIdentity[] side, NodeIdentity[] than) => side.Length != than.Length
        ? side.Length > than.Length
        : side.Min(static identity => identity.Name).CompareTo(than.Min(static identity => identity.Name)) < 0;
}
