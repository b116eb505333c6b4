using DistCache.Membership;

namespace DistCache.Simulation.Checkers;

/// <summary>Which states each member was ever seen in.</summary>
internal sealed class StatesSeen : IChecker
{
    private readonly Dictionary<string, HashSet<MemberState>> _seen = new(StringComparer.Ordinal);

    public void CheckView(SimulatedNode node, MembershipView before, MembershipView after)
    {
        foreach (var member in after.Members)
        {
            var name = member.Name.ToString();
            if (!_seen.TryGetValue(name, out var states))
            {
                _seen.Add(name, states = []);
            }

            states.Add(member.State);
        }
    }

    public IReadOnlyCollection<MemberState> Of(SimulatedNode member) => _seen.TryGetValue(member.Name, out var states) ? states : [];
}
