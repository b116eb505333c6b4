using System.Collections.Immutable;
using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>One member in a view.</summary>
/// <param name="Record">What is believed about it.</param>
/// <param name="IsSettled">It counts for the table: it has been here for the settle window, and has not been gone for one.</param>
internal sealed record Member(MemberRecord Record, bool IsSettled)
{
    public NodeName Name => Record.Identity.Name;

    public PeerAddress Address => Record.Address;

    public MemberState State => Record.State;
}

/// <summary>An immutable picture of the members, this node among them, ordered by name.</summary>
/// <param name="Self">This node.</param>
/// <param name="Members">All, this node included; the dead and the left only as long as rumours about them matter.</param>
internal sealed record MembershipView(Member Self, ImmutableArray<Member> Members)
{
    public Member? Find(NodeName name)
    {
        foreach (var member in Members)
        {
            if (member.Name == name)
            {
                return member;
            }
        }

        return null;
    }
}
