using DistCache.Membership;

namespace DistCache.Simulation.Checkers;

/// <summary>A view is ordered by name, has each once and this node among them, and somebody who is there counts for the table.</summary>
internal sealed class SoundViews : IChecker
{
    public void CheckView(SimulatedNode node, MembershipView before, MembershipView after)
    {
        var names = after.Members.Select(member => member.Name).ToArray();
        var isSound = names.Zip(names.Skip(1)).All(pair => pair.First.CompareTo(pair.Second) < 0)
            && after.Members.Contains(after.Self)
            && after.Self.Name == node.Identity.Name
            && names.Length <= SwimTiming.MaximumMembers
            && (after.Self.State == MemberState.Left || after.Members.Any(member => member.IsSettled && member.State is not (MemberState.Dead or MemberState.Left)));
        Assert.That(isSound, Is.True, () => $"{node.Name} has an unsound view: {after}. {node.Simulation.Describe()}");
    }
}
