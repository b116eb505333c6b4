using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// The members that were given up and may come back with what they held: cut off, or standing still. Until tombstones have gone that were
/// made meanwhile nothing counts as confirmed, since an absent one may have an older copy of anything. One that comes back later than that
/// is a <em>stranger</em>: what it holds may have been removed here, and it the same of us. It is no member for the entries until one of both
/// sides has begun anew (<see cref="Reunion"/>). One that started anew, or left, has nothing to bring back.
/// <para>
/// Members tell each other, so that a node which never saw the absent one knows of it too; one that has met nobody since its start takes it
/// that there are others.
/// </para>
/// <para>
/// All is counted in <see cref="RunningTime"/>: while this node stood still it removed nothing. Whether others did only they can tell, so after a
/// long <see cref="Standstill"/> it is <see cref="IsUnsure"/> of all that it holds until they have.
/// </para>
/// </summary>
internal sealed class Absences(TimeProvider time, TimeSpan lifetime)
{
    /// <summary>As many as a cluster can have members; of more the longest absent one is forgotten.</summary>
    private const int LimitOfAbsences = 256;

    private readonly Lock _lock = new();
    private readonly Dictionary<NodeIdentity, long> _since = [];
    private readonly RunningTime _running = new(time);
    private readonly Standstill _standstill = new();
    private readonly TimeSpan _shortestLifetime =
        lifetime < ReplicationOptions.SmallestTombstoneLifetime ? lifetime : ReplicationOptions.SmallestTombstoneLifetime;

    private TimeSpan _lifetime = lifetime;
    private bool _isBeginning;
    private bool _hasMetOthers;
    private volatile bool _hasStrangers;
    private volatile bool _isUnsure;

    /// <summary>Nobody is away whose copies matter.</summary>
    public bool IsNone
    {
        get
        {
            lock (_lock)
            {
                RunLocked();
                return !_since.Values.Any(since => _running.Since(since) < _lifetime) && (_hasMetOthers || _running.Since(0) > _lifetime);
            }
        }
    }

    /// <summary>Members are here that were away for too long.</summary>
    public bool HasStrangers => _hasStrangers;

    /// <summary>This node stood still for long, and somebody who is here has not said yet that he did not go on without it; or it drops what it holds.</summary>
    public bool IsUnsure => _isUnsure;

    /// <summary>
    /// It stood still for so long that others may have called it too late for that alone, and not all have said that they did not go on, be they
    /// here or not. It wrote nothing meanwhile, so against those who went on without it, it has no claim to stay.
    /// </summary>
    public bool HasStoodStill
    {
        get
        {
            lock (_lock)
            {
                return _standstill.IsOpenAfter(TooLong(_lifetime));
            }
        }
    }

    /// <summary>
    /// Away for so long, a node comes back too late. Shorter than tombstones live, since it could not be heard for a while before it was given
    /// up: an eighth of the shortest that they may live is more than that takes.
    /// </summary>
    public static TimeSpan TooLong(TimeSpan tombstoneLifetime) => tombstoneLifetime * 7 / 8;

    /// <summary>This node runs: to be called again and again.</summary>
    public void Run()
    {
        lock (_lock)
        {
            RunLocked();
        }
    }

    /// <summary>This node stood still until now. If tombstones may have gone elsewhere meanwhile, these members may have gone on without it for too long.</summary>
    public void StandStill(TimeSpan length, MembershipView members)
    {
        lock (_lock)
        {
            RunLocked();
            if (length < TooLong(_shortestLifetime))
            {
                return;
            }

            // Who was a stranger before that has no word, and who stays is decided as ever.
            var known = OthersIn(members).Where(member => !IsTooLateLocked(member.Record.Identity)).Select(static member => member.Name);
            _standstill.End(length, known, _running.Now, time.GetTimestamp());
            LookWhoIsUnheardLocked(members);
        }
    }

    public bool IsStranger(NodeIdentity identity)
    {
        if (!_hasStrangers)
        {
            return false;
        }

        lock (_lock)
        {
            RunLocked();
            return IsTooLateLocked(identity);
        }
    }

    /// <summary>Who is away or a stranger, and for how much longer it may come back; this node itself, while it may have been gone on without.</summary>
    public (IReadOnlyList<Absence> Missing, TimeSpan TombstoneLifetime) Tell(NodeIdentity self)
    {
        lock (_lock)
        {
            RunLocked();
            var absences = _since.Select(absence => new Absence(absence.Key, MillisecondsLeft(absence.Value))).ToList();
            if (_standstill.IsOpenAfter(TooLong(_lifetime)))
            {
                absences.Add(new Absence(self, 0));
            }

            return (absences, _lifetime);
        }
    }

    /// <summary>Takes note of who went and who is back; gives the view without strangers.</summary>
    public MembershipView Admit(MembershipView view)
    {
        lock (_lock)
        {
            RunLocked();
            _hasMetOthers |= OthersIn(view).Any();
            foreach (var member in view.Members.Where(member => member.State == MemberState.Dead))
            {
                MissLocked(member.Record.Identity, _running.Now, view);
            }

            foreach (var identity in _since.Keys.Where(identity => IsOver(identity, view)).ToArray())
            {
                if (!IsBack(identity, view) || !IsTooLateLocked(identity))
                {
                    _since.Remove(identity);
                }
            }

            _hasStrangers = _since.Keys.Any(identity => IsBack(identity, view));
            LookWhoIsUnheardLocked(view);
            return _hasStrangers ? new MembershipView(view.Self, view.Members.RemoveAll(member => member.Name != view.Self.Name && IsTooLateLocked(member.Record.Identity))) : view;
        }
    }

    /// <summary>
    /// Another member knows of these; true if others are strangers now, or this node has become sure. A stranger's word counts for nothing, and
    /// who calls one of this side a stranger, is one.
    /// </summary>
    /// <param name="from">Who.</param>
    /// <param name="told">What he says.</param>
    /// <param name="askedAt">When he was asked, as a timestamp: what he says of before a standstill says nothing of the time after.</param>
    /// <param name="routing">By what this node works.</param>
    /// <param name="view">All members, strangers too.</param>
    public bool Hear(NodeIdentity from, HoldingsReply told, long askedAt, Routing routing, MembershipView view)
    {
        lock (_lock)
        {
            RunLocked();
            if (IsTooLateLocked(from))
            {
                return false;
            }

            // Where one forgets removals earlier than the others, all go by that.
            var tellersLifetime = told.TombstoneLifetime > TimeSpan.Zero ? told.TombstoneLifetime : _lifetime;
            _lifetime = tellersLifetime < _lifetime && tellersLifetime >= _shortestLifetime ? tellersLifetime : _lifetime;
            if (told.Missing.Any(absence => absence.IsTooLate && absence.Identity != from && IsOfThisSideLocked(absence.Identity, from, routing, view)))
            {
                EstrangeLocked(from);
                return true;
            }

            var isNews = _standstill.Hear(from.Name, askedAt);
            foreach (var absence in told.Missing.Where(absence => absence.Identity != from && !IsTooLateLocked(absence.Identity)))
            {
                if (absence.IsTooLate && IsBack(absence.Identity, view))
                {
                    EstrangeLocked(absence.Identity);
                    isNews = true;
                }
                else if (!IsOver(absence.Identity, view))
                {
                    MissLocked(absence.Identity, _running.Ago(TooLong(tellersLifetime) - TimeSpan.FromMilliseconds(absence.Milliseconds)), view);
                }
            }

            return isNews;
        }
    }

    /// <summary>
    /// This node begins a new life and has missed nobody. It sees the others as those do whom it joins, by what they told. Until it
    /// <see cref="HasBegun"/> it is unsure of what it still holds.
    /// </summary>
    public void BeginAnew(IEnumerable<Absence> told)
    {
        lock (_lock)
        {
            _since.Clear();
            _isBeginning = _isUnsure = true;
            foreach (var absence in told.Where(static absence => absence.IsTooLate))
            {
                EstrangeLocked(absence.Identity);
            }

            _hasStrangers = _since.Count > 0;
        }
    }

    /// <summary>It holds nothing any more.</summary>
    public void HasBegun()
    {
        lock (_lock)
        {
            _isBeginning = false;
            ForgetStandstillLocked();
        }
    }

    /// <summary>
    /// This node; or one of its table, if he who says it is not: then he started anew on another side, and this node knows him from nowhere.
    /// </summary>
    private bool IsOfThisSideLocked(NodeIdentity identity, NodeIdentity saidBy, Routing routing, MembershipView view) =>
        identity == view.Self.Record.Identity || (!routing.Knows(saidBy) && routing.Knows(identity) && !IsTooLateLocked(identity));

    private static IEnumerable<Member> OthersIn(MembershipView view) =>
        view.Members.Where(member => member.Name != view.Self.Name && Ownership.MayHold(member));

    private void RunLocked()
    {
        _running.Look();
        if (_standstill.IsOpen && _running.Since(_standstill.EndedAt) >= TooLong(_lifetime))
        {
            // They are not coming back, and whom they miss that long this node may miss as well: from here on it has written as they have.
            ForgetStandstillLocked();
        }
    }

    private void ForgetStandstillLocked()
    {
        _standstill.Forget();
        _isUnsure = _isBeginning;
    }

    /// <summary>Those of an earlier standstill that are gone are nobody to wait for.</summary>
    private void LookWhoIsUnheardLocked(MembershipView view) =>
        _isUnsure = _isBeginning || OthersIn(view).Any(member => _standstill.Awaits(member.Name));

    private long MillisecondsLeft(long since) => Math.Max(0, (long)(TooLong(_lifetime) - _running.Since(since)).TotalMilliseconds);

    /// <summary>Away for too long; a stranger if it is here all the same.</summary>
    private bool IsTooLateLocked(NodeIdentity identity) =>
        _since.TryGetValue(identity, out var since) && _running.Since(since) >= TooLong(_lifetime);

    private void EstrangeLocked(NodeIdentity identity) => _since[identity] = _running.Ago(_lifetime);

    private void MissLocked(NodeIdentity identity, long since, MembershipView view)
    {
        if (_since.TryAdd(identity, since) && _since.Count > LimitOfAbsences)
        {
            _since.Remove(_since.Where(absence => !IsBack(absence.Key, view)).MinBy(static absence => absence.Value).Key);
        }
    }

    /// <summary>It is back, as itself or in another life, or has left in good order.</summary>
    private static bool IsOver(NodeIdentity identity, MembershipView view) => view.Find(identity.Name) is { } member
        && (member.Record.Identity.Incarnation > identity.Incarnation
            || (member.Record.Identity == identity && member.State != MemberState.Dead));

    /// <summary>It is back as itself.</summary>
    private static bool IsBack(NodeIdentity identity, MembershipView view) =>
        view.Find(identity.Name) is { } member && member.Record.Identity == identity && Ownership.MayHold(member);
}
