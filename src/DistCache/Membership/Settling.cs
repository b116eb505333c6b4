using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>
/// Who counts for the table. A member that came or went does so after the settle window, so that ten pods that start together move
/// data once; more churn postpones it, to <see cref="SwimTiming.MaximumSettleWindows"/> windows at most.
/// </summary>
internal sealed class Settling(SwimTiming timing)
{
    private long _lastChange = long.MinValue;
    private bool _hasAdopted;

    /// <summary>The longest that a member can wait to be settled; a sender that says more means a quarantine.</summary>
    public long LongestWait => timing.SettleWindow * SwimTiming.MaximumSettleWindows;

    /// <summary>The member came, went or came back; not called for a suspicion, which changes no ownership.</summary>
    public void Note(MemberEntry entry, long now)
    {
        if (entry.State is MemberState.Leaving or MemberState.Left)
        {
            entry.IsSettled = false;
            entry.UnsettledSince = null;
            return;
        }

        if (entry.IsSettled == entry.State is MemberState.Alive or MemberState.Suspect)
        {
            entry.UnsettledSince = null;
            return;
        }

        if (entry.State == MemberState.Alive && entry.Removals.Count(at => at > now - SwimTiming.RemovalMemory) >= 2)
        {
            entry.QuarantinedUntil = Math.Max(entry.QuarantinedUntil, now + SwimTiming.Quarantine);
        }

        _lastChange = Math.Max(_lastChange, now);
        entry.UnsettledSince ??= now;
    }

    /// <summary>It counts from now on.</summary>
    public static void Count(MemberEntry entry)
    {
        entry.IsSettled = true;
        entry.UnsettledSince = null;
    }

    /// <summary>
    /// A node that joins takes over what another says, so that both build one table. All who wait count at the same time, a window after the last change,
    /// but for those who have waited for the longest that they may: theirs is less. Whom it met before the first of them it did not see come.
    /// </summary>
    /// <param name="self">This node, which has just come where the other does not know of it.</param>
    /// <param name="told">Members, and what the other says of them.</param>
    /// <param name="now">Elapsed milliseconds.</param>
    public void Adopt(MemberEntry self, IReadOnlyCollection<(MemberEntry Entry, MemberRecord Record)> told, long now)
    {
        _lastChange = _hasAdopted ? _lastChange : long.MinValue;
        _hasAdopted = true;
        var longest = told.Select(static member => member.Record.UnsettledMilliseconds).Where(unsettled => unsettled <= LongestWait).DefaultIfEmpty().Max();
        _lastChange = longest > 0 ? Math.Max(_lastChange, now + longest - timing.SettleWindow) : _lastChange;
        foreach (var (entry, record) in told)
        {
            // Who lives waits to count, who is dead to count no more.
            var isWaiting = record.UnsettledMilliseconds > 0 && record.UnsettledMilliseconds <= LongestWait;
            entry.IsSettled = isWaiting == (record.State == MemberState.Dead);
            entry.UnsettledSince = entry.IsSettled == entry.IsLive ? null : Math.Min(now - record.WaitedMilliseconds, Math.Min(_lastChange, entry.UnsettledSince ?? now));
            MergeQuarantine(entry, record.UnsettledMilliseconds, now);
        }

        if (!told.Any(member => member.Entry == self))
        {
            Note(self, now);
        }
    }

    /// <summary>
    /// Others know of deaths that this node did not see. The longer rest wins; what a message loses on its way must not renew it, so a
    /// difference below a second is none. True if it changed.
    /// </summary>
    public bool MergeQuarantine(MemberEntry entry, int unsettledMilliseconds, long now)
    {
        const long Slack = 1_000;
        var until = now + Math.Min(unsettledMilliseconds, SwimTiming.Quarantine);
        if (unsettledMilliseconds <= LongestWait + Slack || until <= entry.QuarantinedUntil + Slack)
        {
            return false;
        }

        entry.QuarantinedUntil = until;
        return true;
    }

    /// <summary>What this node says about it to others: for how much longer it waits, and for how long it has.</summary>
    public MemberRecord Tell(MemberRecord record, MemberEntry entry, long now)
    {
        var remaining = Remaining(entry, now);
        var waited = remaining > 0 && entry.UnsettledSince is { } since ? now - since : 0;
        return record with { UnsettledMilliseconds = remaining, WaitedMilliseconds = (int)Math.Min(waited, LongestWait) };
    }

    /// <summary>When <see cref="Settle"/> has something to do for it; never while it has not.</summary>
    public long NextDue(MemberEntry entry, long now)
    {
        var due = entry.UnsettledSince is null || entry.State == MemberState.Suspect ? long.MaxValue : Due(entry);
        return entry.QuarantinedUntil > now ? Math.Min(due, entry.QuarantinedUntil) : due;
    }

    /// <summary>Settles it if its time has come; true if it did.</summary>
    /// <param name="entry">The member.</param>
    /// <param name="isMajority">
    /// Most members are on this node's side. Only then does a removal count against the member: a node that was cut off saw everybody
    /// else die, and must not put the whole cluster into quarantine when it is back.
    /// </param>
    /// <param name="withSuspects">A suspect too; else it waits until it is known whether it lives.</param>
    /// <param name="now">Elapsed milliseconds.</param>
    public bool Settle(MemberEntry entry, bool isMajority, bool withSuspects, long now)
    {
        if (entry.UnsettledSince is null || (entry.State == MemberState.Suspect && !withSuspects) || Due(entry) > now)
        {
            return false;
        }

        entry.IsSettled = entry.State is MemberState.Alive or MemberState.Suspect;
        entry.UnsettledSince = null;
        if (!entry.IsSettled && isMajority)
        {
            entry.Removals.RemoveAll(at => at <= now - SwimTiming.RemovalMemory);
            entry.Removals.Add(now);
        }

        return true;
    }

    /// <summary>
    /// The names that count for the table. Quarantines hold only while they concern fewer than half of the live members: the others must
    /// be able to carry the load. Where nobody of those who count lives, as when all start together, everybody does who lives: a place is
    /// kept for the dead beside others, not instead of them.
    /// </summary>
    public static HashSet<NodeName> SettledNames(IReadOnlyCollection<MemberEntry> entries, long now)
    {
        var settled = Settled(entries, now);
        if (settled.Exists(static entry => entry.IsLive))
        {
            return Names(settled);
        }

        var alive = Names(entries.Where(static entry => entry.State is MemberState.Alive or MemberState.Suspect));
        return alive.Count > 0 ? alive : Names(entries.Where(static entry => entry.IsLive));
    }

    /// <summary>Else everybody counts who lives.</summary>
    public static bool IsAnybodySettled(IReadOnlyCollection<MemberEntry> entries, long now) =>
        Settled(entries, now).Exists(static entry => entry.IsLive);

    private int Remaining(MemberEntry entry, long now)
    {
        if (entry.State is MemberState.Leaving or MemberState.Left)
        {
            return 0;
        }

        if (entry.QuarantinedUntil > now)
        {
            // A dead one had no place to keep.
            return entry.IsLive ? (int)(entry.QuarantinedUntil - now) : 0;
        }

        if (entry.UnsettledSince is not null)
        {
            return (int)Math.Max(1, Due(entry) - now);
        }

        return entry.IsSettled == entry.IsLive ? 0 : (int)timing.SettleWindow;
    }

    private static List<MemberEntry> Settled(IReadOnlyCollection<MemberEntry> entries, long now)
    {
        var live = entries.Count(entry => entry.IsLive);
        var quarantined = entries.Count(entry => entry.IsLive && entry.QuarantinedUntil > now);
        var holdsQuarantine = quarantined * 2 < live;
        return [.. entries.Where(entry => entry.IsSettled && !(holdsQuarantine && entry.QuarantinedUntil > now))];
    }

    private static HashSet<NodeName> Names(IEnumerable<MemberEntry> entries) => [.. entries.Select(entry => entry.Name)];

    private long Due(MemberEntry entry) =>
        Math.Min(
            Math.Max(entry.UnsettledSince!.Value, _lastChange) + timing.SettleWindow,
            entry.UnsettledSince.Value + LongestWait);
}
