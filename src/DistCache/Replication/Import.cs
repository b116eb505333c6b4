using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// The slots that this node owns by its table but has not got whole, and the members that may still hold something of them: each
/// of them anything at first, what it said it holds once it answered, nothing once it was read to its end or is dead. A slot
/// that nobody holds any more is owned.
/// </summary>
internal sealed class Import
{
    private readonly Lock _lock = new();
    private readonly Dictionary<NodeIdentity, Source> _sources;
    private SlotSet _pending = new();
    private volatile bool _isComplete;

    /// <param name="sources">Who may hold something, and of which slots that matters.</param>
    public Import(IEnumerable<(Member Member, SlotSet Slots)> sources)
    {
        _sources = sources.ToDictionary(source => source.Member.Record.Identity, source => new Source(source.Member.Address, source.Slots.Copy()));
        lock (_lock)
        {
            SettleLocked();
        }
    }

    /// <summary>Nothing is to be fetched.</summary>
    public static Import Nothing() => new([]);

    /// <summary>Every slot is owned.</summary>
    public bool IsComplete => _isComplete;

    public bool IsPending(Slot slot)
    {
        if (_isComplete)
        {
            return false;
        }

        lock (_lock)
        {
            return _pending.Contains(slot);
        }
    }

    /// <summary>The slots that are not owned yet.</summary>
    public SlotSet PendingSlots()
    {
        lock (_lock)
        {
            return _pending.Copy();
        }
    }

    /// <summary>Where entries of a pending slot may still be.</summary>
    public IReadOnlyList<PeerAddress> HoldersOf(Slot slot)
    {
        lock (_lock)
        {
            return [.. _sources.Values.Where(source => source.Remaining.Contains(slot)).Select(source => source.Address)];
        }
    }

    /// <summary>A member said what it holds; gives what is wanted of that.</summary>
    public SlotSet Told(NodeIdentity source, SlotSet held)
    {
        lock (_lock)
        {
            if (!_sources.TryGetValue(source, out var known))
            {
                return new SlotSet();
            }

            known.Remaining.IntersectWith(held);
            SettleLocked();
            return known.Remaining.Copy();
        }
    }

    /// <summary>A member was read to its end, or is gone.</summary>
    public void Finished(NodeIdentity source)
    {
        lock (_lock)
        {
            _sources.Remove(source);
            SettleLocked();
        }
    }

    private void SettleLocked()
    {
        var held = new SlotSet();
        foreach (var source in _sources.Values)
        {
            held.UnionWith(source.Remaining);
        }

        _pending = held;
        _isComplete = held.IsEmpty;
    }

    private sealed record Source(PeerAddress Address, SlotSet Remaining);
}
