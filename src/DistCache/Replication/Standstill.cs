using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// That this node stood still for so long that tombstones may have gone elsewhere, and who of those that it knew has not said yet whether he went
/// on without it. One that comes before another is over goes on with it. Not for many threads at once.
/// </summary>
internal sealed class Standstill
{
    private readonly HashSet<NodeName> _unheard = [];
    private TimeSpan _length;
    private long _endedAtTimestamp;

    /// <summary>In <see cref="RunningTime"/>.</summary>
    public long EndedAt { get; private set; }

    /// <summary>Not all have spoken.</summary>
    public bool IsOpen => _unheard.Count > 0;

    /// <summary>The same of one that was at least so long.</summary>
    public bool IsOpenAfter(TimeSpan length) => IsOpen && _length >= length;

    /// <summary>It is over, and was so long.</summary>
    public void End(TimeSpan length, IEnumerable<NodeName> known, long now, long timestamp)
    {
        _unheard.UnionWith(known);
        _length = length > _length ? length : _length;
        (EndedAt, _endedAtTimestamp) = (now, timestamp);
    }

    public bool Awaits(NodeName name) => _unheard.Contains(name);

    /// <summary>He answers a question that was put to him at that timestamp; true if he was waited for. What he was asked before says nothing.</summary>
    public bool Hear(NodeName name, long askedAt) => askedAt >= _endedAtTimestamp && _unheard.Remove(name);

    public void Forget()
    {
        _unheard.Clear();
        _length = default;
    }
}
