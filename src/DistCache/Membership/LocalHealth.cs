namespace DistCache.Membership;

/// <summary>
/// How far this node may trust its own ears: 0 is well, each point makes it wait one time longer and ask one time less often
/// (Lifeguard, "LHA-Probe"). A node that is slow itself must not call others dead.
/// </summary>
internal sealed class LocalHealth
{
    public int Score { get; private set; }

    public int Multiplier => Score + 1;

    public void Worsen(int points) => Score = Math.Min(SwimTiming.HealthMaximum, Score + points);

    public void Improve() => Score = Math.Max(0, Score - 1);
}
