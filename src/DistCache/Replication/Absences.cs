using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// The members that were given up and may come back with what they held: cut off, or standing still. While one of them is away nothing
/// counts as confirmed, since it may have an older copy of anything; for no longer than tombstones live. One that started anew, or left,
/// has nothing to bring back. Members tell each other, so that a node which never saw the absent one knows of it too; one that has met
/// nobody since its start takes it that there are others.
/// </summary>
internal sealed class Absences(TimeProvider time, TimeSpan lifetime)
{
    /// <summary>As many as a cluster can have members.</summary>
    private const int LimitOfAbsences = 256;

    private readonly Lock _lock = new();
    private readonly Dictionary<NodeIdentity, long> _since = [];
    private readonly long _startedAt = time.GetTimestamp();
    private bool _hasMetOthers;

    /// <summary>Nobody is away whose copies matter.</summary>
    public bool IsNone => Tell().Count == 0 && (_hasMetOthers || time.GetElapsedTime(_startedAt) > lifetime);

    /// <summary>Who is away, and for how much longer that matters.</summary>
    public IReadOnlyList<Absence> Tell()
    {
        lock (_lock)
        {
            List<Absence> absences = [];
            foreach (var (identity, since) in _since)
            {
                var left = lifetime - time.GetElapsedTime(since);
                if (left > TimeSpan.Zero)
                {
                    absences.Add(new Absence(identity, (long)left.TotalMilliseconds));
                }
            }

            return absences;
        }
    }

    /// <summary>Another member knows of these.</summary>
    public void Hear(IReadOnlyList<Absence> absences, MembershipView view)
    {
        lock (_lock)
        {
            foreach (var (identity, milliseconds) in absences)
            {
                var left = Math.Min(milliseconds, (long)lifetime.TotalMilliseconds);
                var since = time.GetTimestamp() - (long)((lifetime.TotalMilliseconds - left) / 1_000 * time.TimestampFrequency);
                if (_since.Count < LimitOfAbsences && !IsOver(identity, view))
                {
                    _since.TryAdd(identity, since);
                }
            }
        }
    }

    public void Update(MembershipView view)
    {
        lock (_lock)
        {
            _hasMetOthers |= view.Members.Any(member => member.Name != view.Self.Name && Ownership.MayHold(member));
            foreach (var member in view.Members.Where(member => member.State == MemberState.Dead))
            {
                _since.TryAdd(member.Record.Identity, time.GetTimestamp());
            }

            foreach (var (identity, since) in _since.ToArray())
            {
                // One that is still remembered as dead stays, lest it begin anew.
                if (IsOver(identity, view) || (time.GetElapsedTime(since) > lifetime && view.Find(identity.Name) is null))
                {
                    _since.Remove(identity);
                }
            }
        }
    }

    /// <summary>It is back, as itself or in another life, or has left in good order.</summary>
    private static bool IsOver(NodeIdentity identity, MembershipView view) => view.Find(identity.Name) is { } member
        && (member.Record.Identity.Incarnation > identity.Incarnation
            || (member.Record.Identity == identity && member.State != MemberState.Dead));
}
