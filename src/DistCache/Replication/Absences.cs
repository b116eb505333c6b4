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
/// </summary>
internal sealed class Absences(TimeProvider time, TimeSpan lifetime)
{
    /// <summary>As many as a cluster can have members; of more the longest absent one is forgotten.</summary>
    private const int LimitOfAbsences = 256;

    private readonly Lock _lock = new();
    private readonly Dictionary<NodeIdentity, long> _since = [];
    private readonly HashSet<NodeIdentity> _strangers = [];
    private readonly long _startedAt = time.GetTimestamp();
    private bool _hasMetOthers;
    private volatile bool _hasStrangers;

    /// <summary>Nobody is away whose copies matter.</summary>
    public bool IsNone
    {
        get
        {
            lock (_lock)
            {
                return !_since.Values.Any(since => time.GetElapsedTime(since) < lifetime)
                    && (_hasMetOthers || time.GetElapsedTime(_startedAt) > lifetime);
            }
        }
    }

    /// <summary>Members are here that were away for too long.</summary>
    public bool HasStrangers => _hasStrangers;

    /// <summary>
    /// Away for so long, a node comes back too late. Shorter than tombstones live, since it could not be heard for a while before it was given
    /// up: an eighth of that is minutes where giving up takes less than one.
    /// </summary>
    public static TimeSpan TooLong(TimeSpan tombstoneLifetime) => tombstoneLifetime * 7 / 8;

    public bool IsStranger(NodeIdentity identity)
    {
        if (!_hasStrangers)
        {
            return false;
        }

        lock (_lock)
        {
            return _strangers.Contains(identity);
        }
    }

    /// <summary>Who is away or a stranger, and for how much longer it may come back.</summary>
    public IReadOnlyList<Absence> Tell()
    {
        lock (_lock)
        {
            var absences = _strangers.Select(static identity => new Absence(identity, 0)).ToList();
            foreach (var (identity, since) in _since)
            {
                var left = lifetime - time.GetElapsedTime(since);
                absences.Add(new Absence(identity, Math.Max(0, (long)left.TotalMilliseconds)));
            }

            return absences;
        }
    }

    /// <summary>Takes note of who went and who is back; gives the view without strangers.</summary>
    public MembershipView Admit(MembershipView view)
    {
        lock (_lock)
        {
            _hasMetOthers |= view.Members.Any(member => member.Name != view.Self.Name && Ownership.MayHold(member));
            foreach (var member in view.Members.Where(member => member.State == MemberState.Dead))
            {
                MissLocked(member.Record.Identity, time.GetTimestamp());
            }

            foreach (var (identity, since) in _since.Where(absence => IsOver(absence.Key, view)).ToArray())
            {
                _since.Remove(identity);
                if (IsBack(identity, view) && time.GetElapsedTime(since) >= TooLong(lifetime))
                {
                    _strangers.Add(identity);
                }
            }

            _strangers.RemoveWhere(identity => IsOver(identity, view) && !IsBack(identity, view));
            _hasStrangers = _strangers.Any(identity => IsBack(identity, view));
            return _hasStrangers ? new MembershipView(view.Self, view.Members.RemoveAll(member => member.Name != view.Self.Name && _strangers.Contains(member.Record.Identity))) : view;
        }
    }

    /// <summary>
    /// Another member knows of these; true if the strangers may be others now. A stranger's word counts for nothing, and who calls this node or one of
    /// its table a stranger without being of that table himself, is one: he started anew on another side, and this node knows him from nowhere.
    /// </summary>
    public bool Hear(NodeIdentity from, IReadOnlyList<Absence> absences, Routing routing, MembershipView view)
    {
        lock (_lock)
        {
            if (_strangers.Contains(from))
            {
                return false;
            }

            var isOfTheTable = routing.Knows(from);
            if (absences.Any(absence => absence.IsTooLate
                && (absence.Identity == view.Self.Record.Identity
                    || (!isOfTheTable && routing.Knows(absence.Identity) && !_strangers.Contains(absence.Identity)))))
            {
                return _strangers.Add(from);
            }

            var before = _strangers.Count;
            foreach (var absence in absences)
            {
                if (absence.IsTooLate && IsBack(absence.Identity, view))
                {
                    _strangers.Add(absence.Identity);
                }
                else if (!IsOver(absence.Identity, view))
                {
                    MissLocked(absence.Identity, BeginOf(absence));
                }
            }

            return _strangers.Count > before;
        }
    }

    /// <summary>This node begins a new life and has missed nobody. It sees the others as those do whom it joins, by what they told.</summary>
    public void BeginAnew(IEnumerable<Absence> told)
    {
        lock (_lock)
        {
            _since.Clear();
            _strangers.Clear();
            _strangers.UnionWith(told.Where(static absence => absence.IsTooLate).Select(static absence => absence.Identity));
        }
    }

    private long BeginOf(Absence absence)
    {
        var left = Math.Clamp(absence.Milliseconds, 0, (long)lifetime.TotalMilliseconds);
        return time.GetTimestamp() - (long)((lifetime.TotalMilliseconds - left) / 1_000 * time.TimestampFrequency);
    }

    private void MissLocked(NodeIdentity identity, long since)
    {
        if (_strangers.Contains(identity) || !_since.TryAdd(identity, since) || _since.Count <= LimitOfAbsences)
        {
            return;
        }

        _since.Remove(_since.MinBy(static absence => absence.Value).Key);
    }

    /// <summary>It is back, as itself or in another life, or has left in good order.</summary>
    private static bool IsOver(NodeIdentity identity, MembershipView view) => view.Find(identity.Name) is { } member
        && (member.Record.Identity.Incarnation > identity.Incarnation
            || (member.Record.Identity == identity && member.State != MemberState.Dead));

    /// <summary>It is back as itself.</summary>
    private static bool IsBack(NodeIdentity identity, MembershipView view) =>
        view.Find(identity.Name) is { } member && member.Record.Identity == identity && Ownership.MayHold(member);
}
