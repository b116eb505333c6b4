using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>What a node says about itself, and how patient it is with others.</summary>
internal sealed record MembershipSettings(
    NodeName Name, PeerAddress Address, string Zone, int ReplicaCount, ClusterProfile Profile, TimeSpan JoinTimeout);
