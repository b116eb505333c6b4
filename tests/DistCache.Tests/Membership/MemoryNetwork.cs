using System.Collections.Concurrent;
using DistCache.Membership;
using DistCache.Peers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests.Membership;

/// <summary>
/// Nodes in one process that call each other's handlers directly, on a manual clock. A silent node does not answer, and the sender's
/// time runs out; an address without a node refuses.
/// </summary>
internal sealed class MemoryNetwork : IAsyncDisposable
{
    private readonly ConcurrentDictionary<PeerAddress, MemoryNode> _nodes = [];
    private readonly List<MemoryNode> _all = [];

    public ManualTime Time { get; } = new();

    public HashSet<PeerAddress> Silent { get; } = [];

    /// <summary>Every message changes the thread, so that many are under way at once.</summary>
    public bool IsConcurrent { get; init; }

    /// <summary>Told of each request and to whom it goes.</summary>
    public Action<PeerAddress, PeerRequest>? Sent { get; set; }

    public MemoryNode Add(
        string address,
        string[]? seeds = null,
        string? name = null,
        ClusterProfile profile = ClusterProfile.Fast,
        TimeSpan? joinTimeout = null,
        Random? random = null,
        ILogger? logger = null,
        ISeedSource? source = null)
    {
        var at = PeerAddress.Parse(address);
        var settings = new MembershipSettings(NodeName.Parse(name ?? address), at, "", 1, profile, joinTimeout ?? TimeSpan.FromSeconds(5));
        var transport = new MemoryTransport(this, at);
        source ??= new StaticSeeds((seeds ?? []).Select(PeerAddress.Parse));
        var loop = new GossipLoop(settings, transport, Time, random ?? new Random(_all.Count), source, logger ?? NullLogger.Instance);
        var node = new MemoryNode(at, loop);
        transport.Node = node;
        _nodes[at] = node;
        _all.Add(node);
        return node;
    }

    /// <summary>The process is gone: its address refuses from now on.</summary>
    public async Task KillAsync(MemoryNode node)
    {
        _nodes.TryRemove(node.Address, out _);
        await node.Loop.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _all)
        {
            await node.Loop.DisposeAsync();
        }
    }

    private sealed class MemoryTransport(MemoryNetwork network, PeerAddress from) : IPeerTransport
    {
        public event Action<PeerAddress>? Broken
        {
            add { }
            remove { }
        }

        public MemoryNode? Node { get; set; }

        public async ValueTask<PeerReply> SendAsync(PeerAddress to, PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken)
        {
            if (network.IsConcurrent)
            {
                await Task.Yield();
            }

            network.Sent?.Invoke(to, request);
            if (to == from)
            {
                return new PeerFault(FaultKind.Self, "This is the node itself.");
            }

            if (network.Silent.Contains(to) || network.Silent.Contains(from))
            {
                await Task.Delay(timeout, network.Time, cancellationToken);
                return PeerFault.TimedOut;
            }

            return network._nodes.TryGetValue(to, out var node)
                ? await node.Loop.HandleAsync(Node!.Loop.Self, request, cancellationToken)
                : new PeerFault(FaultKind.NotListening, "Connection refused.");
        }
    }
}

internal sealed record MemoryNode(PeerAddress Address, GossipLoop Loop)
{
    public IEnumerable<string> Settled => Loop.View.Members.Where(member => member.IsSettled).Select(member => member.Name.ToString());

    public MemberState? StateOf(MemoryNode other) => Loop.View.Find(other.Loop.Self.Name)?.State;
}
