using DistCache.Membership;

namespace DistCache.Simulation;

/// <summary>Something that must hold. Says what it found, in one sentence, and fails the run.</summary>
internal interface IChecker
{
    /// <summary>A node's view changed.</summary>
    void CheckView(SimulatedNode node, MembershipView before, MembershipView after)
    {
    }

    /// <summary>All faults are over and the cluster had time.</summary>
    void CheckQuiet(Simulation simulation)
    {
    }
}
