using System.Collections.Immutable;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Replication;

namespace DistCache;

/// <summary>An immutable picture of the cluster as this node sees it.</summary>
public sealed class ClusterView
{
    private readonly Routing _routing;

    internal ClusterView(Routing routing)
    {
        _routing = routing;
        Members = [.. routing.View.Members.Select(MemberOf)];
    }

    /// <summary>All members, this node among them, ordered by name.</summary>
    public ImmutableArray<ClusterMember> Members { get; }

    /// <summary>Names who owns what: two nodes with equal hashes own equally.</summary>
    public ulong TableHash => _routing.Table.Hash;

    /// <summary>The names of the nodes that own a key, the primary first.</summary>
    /// <param name="key">Any key that the cache takes.</param>
    /// <exception cref="ArgumentException">The key is ill-formed or longer than 4 096 bytes of UTF-8.</exception>
    public ImmutableArray<string> OwnersOf(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        var slot = Slot.Of(EntryKey.Encode(key, stackalloc byte[EntryKey.MaximumBytes], EntryKey.MaximumBytes));
        var names = ImmutableArray.CreateBuilder<string>();
        foreach (var owner in _routing.Table.Owners(slot))
        {
            names.Add(_routing.Table.Nodes[owner].Name.ToString());
        }

        return names.ToImmutable();
    }

    private ClusterMember MemberOf(Member member)
    {
        var index = _routing.Table.IndexOf(member.Name);
        return new ClusterMember(
            member.Name.ToString(),
            member.Record.Identity.Incarnation,
            member.Address.ToString(),
            member.Record.Zone,
            member.State,
            index < 0 ? 0 : _routing.Table.ShareOf(index),
            _routing.IsSelf(member));
    }
}

/// <summary>A member in a <see cref="ClusterView"/>.</summary>
/// <param name="NodeName">Its stable name.</param>
/// <param name="Incarnation">The start of its present life in milliseconds since 1970: another one means that it started empty.</param>
/// <param name="Address">Where it is dialled.</param>
/// <param name="Zone">Its failure domain; empty if it named none.</param>
/// <param name="State">What is believed about it.</param>
/// <param name="ShareOfSlots">The part of all slots that it is the primary of, 0 to 1.</param>
/// <param name="IsSelf">It is this node.</param>
public sealed record ClusterMember(
    string NodeName, long Incarnation, string Address, string Zone, MemberState State, double ShareOfSlots, bool IsSelf);
