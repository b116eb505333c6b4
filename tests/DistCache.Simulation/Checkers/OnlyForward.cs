using DistCache.Membership;

namespace DistCache.Simulation.Checkers;

/// <summary>Within what a node remembers, no member goes back to an earlier life, refutation or, within one, state.</summary>
internal sealed class OnlyForward : IChecker
{
    public void CheckView(SimulatedNode node, MembershipView before, MembershipView after)
    {
        foreach (var member in after.Members)
        {
            if (before.Find(member.Name) is not { } earlier)
            {
                continue;
            }

            var (old, now) = (earlier.Record, member.Record);
            var order = now.Identity.Incarnation.CompareTo(old.Identity.Incarnation);
            order = order != 0 ? order : now.Refutation.CompareTo(old.Refutation);
            order = order != 0 ? order : now.State.CompareTo(old.State);
            Assert.That(order, Is.GreaterThanOrEqualTo(0), () => $"{node.Name} went back from {old} to {now}. {node.Simulation.Describe()}");
        }
    }
}
