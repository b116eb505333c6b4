using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;

namespace DistCache.Diagnostics;

/// <summary>What a node is like at this moment.</summary>
/// <param name="Node">Its name, the tag of every measurement.</param>
/// <param name="Entries">Entries held, tombstones not counted.</param>
/// <param name="Tombstones">What is remembered of removed entries.</param>
/// <param name="TombstoneBytes">What that takes of the memory budget.</param>
/// <param name="UsedBytes">Of the memory budget.</param>
/// <param name="LimitBytes">The memory budget.</param>
/// <param name="Members">The state of each member, this one too.</param>
/// <param name="ImportingSlots">Slots that it owns and has not fetched yet.</param>
internal sealed record NodeReading(
    string Node, long Entries, long Tombstones, long TombstoneBytes, long UsedBytes, long LimitBytes, IReadOnlyCollection<MemberState> Members, int ImportingSlots);

/// <summary>
/// The nodes of this process that instruments are read from. Held weakly: a provider that nobody disposes is collected with its node.
/// </summary>
internal sealed class NodeGauges
{
    private readonly ConditionalWeakTable<object, Func<NodeReading>> _nodes = [];

    public void Add(object node, Func<NodeReading> read) => _nodes.AddOrUpdate(node, read);

    public void Remove(object node) => _nodes.Remove(node);

    public IEnumerable<Measurement<long>> Measure(Func<NodeReading, long> value) =>
        _nodes.Select(node => node.Value()).Select(reading => new Measurement<long>(value(reading), NodeTag(reading)));

    public IEnumerable<Measurement<long>> MeasureMembers() => _nodes.Select(node => node.Value()).SelectMany(reading => Enum.GetValues<MemberState>()
        .Select(state => new Measurement<long>(
            reading.Members.Count(member => member == state), NodeTag(reading), new KeyValuePair<string, object?>("state", state.ToString()))));

    private static KeyValuePair<string, object?> NodeTag(NodeReading reading) => new("node", reading.Node);
}
