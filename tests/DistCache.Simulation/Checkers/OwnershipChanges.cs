using DistCache.Membership;

namespace DistCache.Simulation.Checkers;

/// <summary>Counts who was taken out of whose table, and put back: each is data that moves.</summary>
internal sealed class OwnershipChanges : IChecker
{
    private readonly List<(string Observer, string Member, bool IsSettled, TimeSpan At)> _changes = [];

    public void CheckView(SimulatedNode node, MembershipView before, MembershipView after)
    {
        foreach (var member in after.Members)
        {
            if (before.Find(member.Name) is { } earlier && earlier.IsSettled != member.IsSettled)
            {
                _changes.Add((node.Name, member.Name.ToString(), member.IsSettled, node.Simulation.Elapsed));
                node.Simulation.Trace.Write(node.Simulation.Elapsed, node.Name, $"{(member.IsSettled ? "counts" : "no longer counts")} {member.Name}");
            }
        }
    }

    public void Clear() => _changes.Clear();

    /// <summary>The most removals of <paramref name="member"/> that any one of the observers saw.</summary>
    public int Removals(SimulatedNode member, IEnumerable<SimulatedNode> observers, TimeSpan since = default) => Most(member, observers, false, since);

    public int Returns(SimulatedNode member, IEnumerable<SimulatedNode> observers, TimeSpan since = default) => Most(member, observers, true, since);

    /// <summary>When the first table changed.</summary>
    public TimeSpan? FirstChangeSince(TimeSpan since) => _changes.Where(change => change.At >= since).Min(change => (TimeSpan?)change.At);

    /// <summary>All changes in the tables of <paramref name="observers"/> that concern anybody but the given.</summary>
    public int ChangesOfOthers(SimulatedNode member, IEnumerable<SimulatedNode> observers)
    {
        var names = observers.Select(node => node.Name).ToHashSet(StringComparer.Ordinal);
        return _changes.Count(change => names.Contains(change.Observer) && change.Member != member.Name);
    }

    private int Most(SimulatedNode member, IEnumerable<SimulatedNode> observers, bool isSettled, TimeSpan since) =>
        observers.Select(observer => _changes.Count(change =>
            change.Observer == observer.Name && change.Member == member.Name && change.IsSettled == isSettled && change.At >= since)).DefaultIfEmpty().Max();
}
