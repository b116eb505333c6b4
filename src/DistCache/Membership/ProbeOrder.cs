using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>
/// Round robin in a random order, so that each member is probed once in every round and no two nodes probe in step (SWIM, section 4.3).
/// A newcomer is put at a random place of the running round.
/// </summary>
internal sealed class ProbeOrder(Random random)
{
    private readonly List<NodeName> _waiting = [];
    private readonly HashSet<NodeName> _known = [];

    public NodeName? Next(IEnumerable<NodeName> members)
    {
        var current = members.ToHashSet();
        _known.RemoveWhere(name => !current.Contains(name));
        foreach (var name in current.Where(_known.Add))
        {
            _waiting.Insert(random.Next(_waiting.Count + 1), name);
        }

        while (_waiting.Count > 0)
        {
            var next = _waiting[^1];
            _waiting.RemoveAt(_waiting.Count - 1);
            if (current.Contains(next))
            {
                return next;
            }
        }

        var round = current.ToArray();
        random.Shuffle(round);
        _waiting.AddRange(round.SkipLast(1));
        return round.Length == 0 ? null : round[^1];
    }
}
