using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>
/// The time that a silent member has to speak up. It starts at the maximum, since the first accuser may be the one with the bad
/// connection, and shrinks with each further accuser (Lifeguard, Dadgar et al. 2017, "LHA-Suspicion").
/// </summary>
internal sealed class Suspicion(NodeName accuser, long startedAt)
{
    private readonly HashSet<NodeName> _accusers = [accuser];

    private long _startedAt = startedAt;

    /// <summary>Adds an accuser; false if it counted already or no further one matters.</summary>
    public bool Confirm(NodeName other) => _accusers.Count <= SwimTiming.SuspicionConfirmations && _accusers.Add(other);

    /// <summary>This node slept: nobody could tell it of a refutation meanwhile.</summary>
    public void Postpone(long milliseconds) => _startedAt += milliseconds;

    /// <summary>When the member is given up.</summary>
    /// <param name="minimum">Milliseconds, with all accusers that can be had.</param>
    /// <param name="maximum">Milliseconds, with one.</param>
    /// <param name="witnesses">The members that could accuse it besides the first.</param>
    public long Deadline(long minimum, long maximum, int witnesses)
    {
        var needed = Math.Min(SwimTiming.SuspicionConfirmations, witnesses);
        if (needed <= 0)
        {
            return _startedAt + minimum;
        }

        var confirmed = Math.Log(_accusers.Count) / Math.Log(needed + 1);
        return _startedAt + Math.Max(minimum, (long)(maximum - ((maximum - minimum) * confirmed)));
    }
}
