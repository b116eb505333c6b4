using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>
/// What this node believes about each member, itself included, and the rules by which a record changes it: the higher incarnation, then
/// the higher refutation, then the later state wins. Each change becomes a rumour.
/// </summary>
internal sealed class Beliefs
{
    private readonly SwimTiming _timing;
    private readonly Settling _settling;
    private readonly RumourQueue _rumours;
    private readonly LocalHealth _health;
    private readonly SwimEffects _effects;
    private readonly Random _random;
    private readonly Dictionary<NodeName, MemberEntry> _entries = [];

    /// <summary>Counted at each change: it is asked for far more often.</summary>
    private int _aliveOthers;

    public Beliefs(MemberRecord self, SwimTiming timing, RumourQueue rumours, LocalHealth health, SwimEffects effects, Random random, long now)
    {
        _timing = timing;
        _settling = new Settling(timing);
        _rumours = rumours;
        _health = health;
        _effects = effects;
        _random = random;
        Self = new MemberEntry(self, now);
        _entries.Add(self.Identity.Name, Self);
    }

    public MemberEntry Self { get; }

    public Settling Settling => _settling;

    public IReadOnlyCollection<MemberEntry> Entries => _entries.Values;

    public IEnumerable<MemberEntry> LiveOthers => _entries.Values.Where(entry => entry.IsLive && entry != Self);

    public int LiveCount { get; private set; } = 1;

    /// <summary>Members that others, or an unexpected sign of life, put in doubt: to be probed soon.</summary>
    public HashSet<NodeName> Doubts { get; } = [];

    /// <summary>The record of another process with this node's name, to be checked before anything is decided.</summary>
    public MemberRecord? Namesake { get; private set; }

    public MemberEntry? Find(NodeName name) => _entries.GetValueOrDefault(name);

    /// <summary>The record as this node tells it to others.</summary>
    public MemberRecord Tell(MemberEntry entry, long now) => _settling.Tell(
        entry.Record with { Accuser = entry.State == MemberState.Suspect ? entry.Accuser : default }, entry, now);

    /// <summary>Merges what <paramref name="source"/> says.</summary>
    public void Apply(MemberRecord record, NodeName source, Moment now)
    {
        if (RecordCheck.Doubt(record, now) is { } disbelief)
        {
            _effects.Disbeliefs.Add(disbelief);
            return;
        }

        if (record.Identity.Name == Self.Name)
        {
            ApplyToSelf(record, now);
            return;
        }

        var entry = Find(record.Identity.Name);
        if (entry is null)
        {
            Meet(record, source, now);
            return;
        }

        if (_settling.MergeQuarantine(entry, record.UnsettledMilliseconds, now.Elapsed))
        {
            Spread(entry);
        }

        switch (CompareLives(record, entry.Record))
        {
            case > 0 when record.Identity.Incarnation > entry.Record.Identity.Incarnation:
                Restart(entry, record, source, now.Elapsed);
                break;
            case > 0:
                Refute(entry, record, source, now.Elapsed);
                break;
            case 0:
                Advance(entry, record, source, now.Elapsed);
                break;
        }
    }

    /// <summary>It did not answer this node or <paramref name="accuser"/>.</summary>
    public void Accuse(MemberEntry entry, NodeName accuser, long now)
    {
        if (entry.Suspicion is { } running)
        {
            if (running.Confirm(accuser) && entry.State == MemberState.Suspect)
            {
                _rumours.Add(entry.Record with { Accuser = accuser });
            }

            return;
        }

        entry.Suspicion = new Suspicion(accuser, now);
        entry.Accuser = accuser;
        if (entry.State == MemberState.Alive)
        {
            Become(entry, entry.Record with { State = MemberState.Suspect }, $"it did not answer {accuser}", now, keepsSuspicion: true);
        }

        // A few witnesses look at once, however many members there are: the suspicion ends sooner, one way or the other.
        if (accuser != Self.Name && _random.Next(LiveCount) < SwimTiming.IndirectProbes)
        {
            Doubts.Add(entry.Name);
        }
    }

    /// <summary>It is dead, as far as this node is concerned.</summary>
    public void Bury(MemberEntry entry, string why, long now) => Become(entry, entry.Record with { State = MemberState.Dead }, why, now);

    /// <summary>It said that it would go, and its address refuses us.</summary>
    public void Part(MemberEntry entry, string why, long now) => Become(entry, entry.Record with { State = MemberState.Left }, why, now);

    /// <summary>This node leaves: 1 Leaving, 2 Left.</summary>
    public void LeaveSelf(MemberState state, long now) => Become(Self, Self.Record with { State = state }, "it leaves", now);

    /// <summary>Takes a life above <paramref name="incarnation"/>: that one was this node's predecessor, or has lost, or what it held is gone.</summary>
    public void Outlive(long incarnation, long now, string? why = null)
    {
        Namesake = null;
        var identity = new NodeIdentity(Self.Name, Math.Max(Self.Record.Identity.Incarnation, incarnation) + 1);
        Become(Self, Self.Record with { Identity = identity, Refutation = 0 }, why ?? $"a record of incarnation {incarnation} is about", now);
    }

    /// <summary>Forgets everybody: this node serves alone.</summary>
    public void Abandon(long now)
    {
        Namesake = null;
        foreach (var name in _entries.Keys.Where(name => name != Self.Name).ToArray())
        {
            _entries.Remove(name);
        }

        _rumours.Clear();
        Doubts.Clear();
        Settling.Count(Self);
        Recount();
    }

    public void Reap(long now)
    {
        foreach (var entry in _entries.Values.Where(entry => IsReapable(entry, now)).ToArray())
        {
            Forget(entry);
        }
    }

    public long SuspicionDeadline(MemberEntry entry, long now)
    {
        var witnesses = _aliveOthers - (entry.State == MemberState.Alive ? 1 : 0);
        var minimum = _timing.SuspicionMinimum(LiveCount);
        var maximum = _timing.SuspicionMaximum(LiveCount);
        return entry.PatientUntil > now
            ? entry.Suspicion!.Deadline(Math.Max(maximum, SwimTiming.Patience), Math.Max(maximum, SwimTiming.Patience), witnesses)
            : entry.Suspicion!.Deadline(minimum, maximum, witnesses);
    }

    private static int CompareLives(MemberRecord left, MemberRecord right)
    {
        var byIncarnation = left.Identity.Incarnation.CompareTo(right.Identity.Incarnation);
        return byIncarnation != 0 ? byIncarnation : left.Refutation.CompareTo(right.Refutation);
    }

    private static MemberRecord Clean(MemberRecord record) => record with { Accuser = default, UnsettledMilliseconds = 0, WaitedMilliseconds = 0 };

    private void Meet(MemberRecord record, NodeName source, Moment now)
    {
        // A death notice for a stranger whose place is gone changes nothing, and taking it in would keep it alive for ever between nodes that reap it in turn.
        if (record.State is MemberState.Dead or MemberState.Left && !record.IsDeadInPlace)
        {
            return;
        }

        if (!HasRoom())
        {
            _effects.Disbeliefs.Add(Disbelief.TableFull);
            return;
        }

        var alive = Clean(record) with { State = record.State == MemberState.Suspect ? MemberState.Alive : record.State };
        var entry = new MemberEntry(alive, now.Elapsed);
        _entries.Add(entry.Name, entry);
        _effects.Changes.Add(new MemberChange(alive.Identity, null, alive.State, $"{source} told of it"));
        _settling.Note(entry, now.Elapsed);
        _settling.MergeQuarantine(entry, record.UnsettledMilliseconds, now.Elapsed);
        Spread(entry);
        if (record.State == MemberState.Suspect)
        {
            Accuse(entry, AccuserOf(record, source), now.Elapsed);
        }
    }

    private void Restart(MemberEntry entry, MemberRecord record, NodeName source, long now)
    {
        entry.PatientUntil = long.MinValue;
        entry.HeardAt = long.MinValue;
        entry.RefusedAt = long.MinValue;
        var state = record.State == MemberState.Suspect ? MemberState.Alive : record.State;
        Become(entry, record with { State = state }, "it started anew", now);
        if (record.State == MemberState.Suspect)
        {
            Accuse(entry, AccuserOf(record, source), now);
        }
    }

    private void Refute(MemberEntry entry, MemberRecord record, NodeName source, long now)
    {
        if (record.State == MemberState.Dead && entry.State == MemberState.Dead)
        {
            entry.Record = Clean(record);
            return;
        }

        if (entry.State == MemberState.Dead)
        {
            entry.PatientUntil = now + SwimTiming.RemovalMemory;
        }

        var state = record.State is MemberState.Leaving or MemberState.Left ? record.State : MemberState.Alive;
        Become(entry, record with { State = state }, "it says that it is alive", now);
        if (record.State is MemberState.Suspect or MemberState.Dead)
        {
            Advance(entry, record, source, now);
        }
    }

    /// <summary>Same life, same refutation: the later state counts.</summary>
    private void Advance(MemberEntry entry, MemberRecord record, NodeName source, long now)
    {
        switch (record.State)
        {
            case MemberState.Alive when entry.State == MemberState.Alive && IsOtherAddress(record, entry.Record):
                Become(entry, record, "of two addresses the higher counts", now);
                break;
            case MemberState.Alive when entry.State == MemberState.Dead:
                // Somebody still hears it. Probing it with the accusation makes it refute.
                Doubts.Add(entry.Name);
                break;
            case MemberState.Suspect when entry.State is MemberState.Alive or MemberState.Suspect:
                Accuse(entry, AccuserOf(record, source), now);
                break;
            case MemberState.Leaving when entry.State is MemberState.Alive or MemberState.Suspect:
                Become(entry, record, "it leaves", now);
                break;
            case MemberState.Dead when entry.IsLive && entry.Suspicion is not null:
                Bury(entry, $"{source} says so, and it did not answer others", now);
                break;
            case MemberState.Dead when entry.IsLive:
                // It was never silent to us: believed when this node has looked.
                entry.IsClaimedDead = true;
                Doubts.Add(entry.Name);
                break;
            case MemberState.Left when entry.State != MemberState.Left:
                Become(entry, record, "it left", now);
                break;
        }
    }

    private void ApplyToSelf(MemberRecord record, Moment now)
    {
        if (_settling.MergeQuarantine(Self, record.UnsettledMilliseconds, now.Elapsed))
        {
            Spread(Self);
        }

        var comparison = record.Identity.Incarnation.CompareTo(Self.Record.Identity.Incarnation);
        if (comparison < 0 || (comparison == 0 && IsOwnRecord(record)))
        {
            if (comparison == 0 && record.Refutation == Self.Record.Refutation && record.State > Self.State && record.State != MemberState.Left)
            {
                RefuteSelf(record, now.Elapsed);
            }

            return;
        }

        // A dead namesake, or one at this very address, is this node's own past. Another may be a live process: look before deciding.
        if (record.State is MemberState.Dead or MemberState.Left || record.Address == Self.Record.Address)
        {
            Outlive(record.Identity.Incarnation, now.Elapsed);
        }
        else if (Namesake is null || record.Identity.Incarnation > Namesake.Identity.Incarnation)
        {
            Namesake = Clean(record);
        }
    }

    private bool IsOwnRecord(MemberRecord record) =>
        record.Address == Self.Record.Address && record.Refutation <= Self.Record.Refutation;

    private void RefuteSelf(MemberRecord accusation, long now)
    {
        if (accusation.State == MemberState.Suspect)
        {
            _health.Worsen(1);
        }

        Self.Record = Self.Record with { Refutation = accusation.Refutation + 1 };
        Spread(Self);
    }

    private void Become(MemberEntry entry, MemberRecord record, string why, long now, bool keepsSuspicion = false)
    {
        var from = entry.State;
        entry.Record = Clean(record);
        entry.IsClaimedDead = false;
        Doubts.Remove(entry.Name);
        if (!keepsSuspicion)
        {
            entry.Suspicion = null;
            entry.Accuser = default;
        }

        if (from != entry.State)
        {
            entry.Since = now;
        }

        _effects.Changes.Add(new MemberChange(entry.Record.Identity, from, entry.State, why));
        if (entry.State != MemberState.Suspect)
        {
            _settling.Note(entry, now);
        }

        Spread(entry);
    }

    private void Spread(MemberEntry entry)
    {
        Recount();
        _rumours.Add(entry.State == MemberState.Suspect ? entry.Record with { Accuser = entry.Accuser } : entry.Record);
    }

    private bool HasRoom()
    {
        if (_entries.Count < SwimTiming.MaximumMembers)
        {
            return true;
        }

        var oldest = _entries.Values.Where(entry => !entry.IsLive && !IsCounted(entry)).MinBy(entry => entry.Since);
        if (oldest is null)
        {
            return false;
        }

        Forget(oldest);
        return true;
    }

    private bool IsReapable(MemberEntry entry, long now) => !IsCounted(entry) && entry.State switch
    {
        MemberState.Dead => entry.Since <= now - SwimTiming.DeadRetention,
        MemberState.Left => entry.Since <= now - SwimTiming.LeftRetention,
        _ => false,
    };

    /// <summary>A dead one that still counts for the table may not vanish from it.</summary>
    private static bool IsCounted(MemberEntry entry) => entry.IsSettled;

    private void Forget(MemberEntry entry)
    {
        _entries.Remove(entry.Name);
        _rumours.Remove(entry.Name);
        Doubts.Remove(entry.Name);
        Recount();
    }

    private void Recount()
    {
        _effects.IsViewStale = true;
        LiveCount = _entries.Values.Count(entry => entry.IsLive);
        _aliveOthers = LiveOthers.Count(entry => entry.State == MemberState.Alive);
    }

    private static bool IsOtherAddress(MemberRecord record, MemberRecord known) =>
        record.Address != known.Address && string.CompareOrdinal(record.Address.ToString(), known.Address.ToString()) > 0;

    private static NodeName AccuserOf(MemberRecord record, NodeName source) => record.Accuser == default ? source : record.Accuser;
}
