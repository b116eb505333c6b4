using System.Net;
using System.Text;
using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;
using DistCache.Replication;
using DistCache.Wire;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace DistCache.Hosting;

/// <summary>
/// Composes a node, and leads it through its life. Making one is passive: no port, no thread, no timer. Until it is started, and for
/// ever where <see cref="ClusterOptions.Listen"/> is not set, it is a cluster of one.
/// </summary>
internal sealed class Node : IPeerHandler, IAsyncDisposable, IDisposable
{
    /// <summary>How often a leaving node looks whether its entries are safe with others.</summary>
    private static readonly TimeSpan HandOverPoll = TimeSpan.FromMilliseconds(50);

    /// <summary>How often a node that stops looks whether its callers have got their answers.</summary>
    private static readonly TimeSpan DrainPoll = TimeSpan.FromMilliseconds(5);

    private readonly DistCacheOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly MemoryTier _memory;
    private readonly Replicator _replicator;
    private readonly WireTransport _transport;
    private volatile GossipLoop? _gossip;
    private volatile NodePhase _phase;
    private bool _isStopped;

    public Node(IOptions<DistCacheOptions> options, TimeProvider time, ILoggerFactory? loggers = null)
    {
        _options = options.Value;
        _time = time;
        _logger = new SafeLogger((loggers ?? NullLoggerFactory.Instance).CreateLogger("DistCache"));

        // Without a port no other node can ever bring back what has gone.
        var lifetime = _options.Cluster.Listen is null ? TimeSpan.Zero : _options.Replication.TombstoneLifetime;
        _memory = new MemoryTier(_options.Memory.SizeLimit, _options.Memory.Eviction, time, _logger, tombstoneLifetime: lifetime);
        var clock = new HybridClock(time);
        var secret = _options.Cluster.SharedSecret is { } text ? Encoding.UTF8.GetBytes(text) : null;
        var tls = _options.Cluster.Tls is { IsOn: true } set ? new TlsCredentials(set, time, _logger) : null;
        var wire = new WireSettings(_options.Cluster.Name) { Secret = secret, Tls = tls };
        _transport = new WireTransport(wire, () => Identity, clock, this, time, _logger);
        var signTime = time == TimeProvider.System ? new OwnThreadTime() : time;
        _replicator = new Replicator(AloneView(), _memory, _transport, clock, time, signTime, Random.Shared, _options.Replication, _logger);
        var cache = new DistributedCache(_replicator.Ownership, _memory, _replicator.Reads, _replicator.Writes, clock, time, _options, _logger);
        _replicator.Reads.Unanswered = cache.Unanswered;
        _replicator.Writes.Unacknowledged = cache.ThrowUnacknowledged;
        Cache = new ObservedCache(cache);
        Cluster = new DistCacheCluster(_replicator, _logger);
        Metrics.Nodes.Add(this, Read);
    }

    public ObservedCache Cache { get; }

    public DistCacheCluster Cluster { get; }

    /// <summary>For measuring what its parts take.</summary>
    public Replicator Replicator => _replicator;

    /// <summary>Where no port is to be opened there is nothing to join or to leave.</summary>
    public NodePhase Phase => _options.Cluster.Listen is null ? NodePhase.Joined : _phase;

    private NodeIdentity Identity => _gossip?.Self ?? _replicator.Ownership.Current.View.Self.Record.Identity;

    /// <summary>Opens the port and joins the cluster; does nothing where no port is to be opened.</summary>
    /// <exception cref="IOException">The port cannot be opened.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (_options.Cluster.Listen is not { } listen)
        {
            return;
        }

        var bound = await _transport.StartAsync(PeerAddress.Parse(listen), cancellationToken).ConfigureAwait(false);
        if (IsOpen(_options.Cluster, bound))
        {
            Log.OpenPort(_logger, bound);
        }

        var gossip = CreateGossip(bound);
        gossip.ViewChanged += _replicator.Ownership.Update;
        _replicator.Ownership.Update(gossip.View);
        _replicator.Calls.Heard += gossip.Heard;
        _replicator.Calls.Exchange = gossip.ExchangeAsync;
        _replicator.TakeNewLife = gossip.BeginAnew;
        _replicator.Start();
        _gossip = gossip;
        await gossip.JoinAsync(cancellationToken).ConfigureAwait(false);
        _replicator.Open();
        await _replicator.GreetAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        _phase = NodePhase.Joined;
        Log.NodeStarted(_logger, Identity, bound, Cluster.View.Members.Length);
    }

    /// <summary>Says that this node leaves, and hands over what it holds, for as long as that may take.</summary>
    public async Task LeaveAsync(TimeSpan limit, CancellationToken cancellationToken)
    {
        if (_gossip is not { } gossip)
        {
            return;
        }

        var started = _time.GetTimestamp();
        var timeout = _options.Cluster.LeaveTimeout < limit ? _options.Cluster.LeaveTimeout : limit;
        _phase = NodePhase.Leaving;
        await gossip.LeaveAsync(cancellationToken).ConfigureAwait(false);
        var hasPeers = _replicator.Ownership.Current.LiveMembers.Length > 1;
        while (hasPeers && !_replicator.IsHandedOver && _time.GetElapsedTime(started) < timeout)
        {
            await Task.Delay(HandOverPoll, _time, cancellationToken).ConfigureAwait(false);
        }

        Log.NodeLeaves(_logger, Identity, _replicator.IsHandedOver, _time.GetElapsedTime(started).TotalMilliseconds);
    }

    /// <summary>
    /// Takes nothing more from its callers, answers what they have asked, says that this node has left, and closes the port. From then on reads
    /// are not answered and writes are refused, since nobody else would ever hear of them; a node that is alone goes on as a local cache.
    /// </summary>
    /// <param name="limit">The longest that it waits for those answers.</param>
    public async Task StopAsync(TimeSpan limit)
    {
        if (_gossip is { } gossip && !Interlocked.Exchange(ref _isStopped, true))
        {
            _replicator.Close();
            await DrainAsync(limit).ConfigureAwait(false);
            if (_phase == NodePhase.Leaving)
            {
                await gossip.LeftAsync(CancellationToken.None).ConfigureAwait(false);
            }

            _replicator.Stop();
            await gossip.DisposeAsync().ConfigureAwait(false);
            gossip.ViewChanged -= _replicator.Ownership.Update;
        }

        await _transport.DisposeAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<PeerReply> HandleAsync(NodeIdentity from, PeerRequest request, CancellationToken cancellationToken) =>
        _replicator.Handle(from, request)
        ?? _gossip?.HandleAsync(from, request, cancellationToken)
        ?? new ValueTask<PeerReply>(new PeerFault(FaultKind.Failed, "This node is starting."));

    /// <inheritdoc/>
    public bool TryRead(in ReadQuestion question, Span<byte> room, out ReadHead answer)
    {
        if (_replicator.MustKnowWhoAsks)
        {
            answer = default;
            return false;
        }

        answer = _replicator.Answer(question, room);
        return true;
    }

    /// <summary>What instruments and health checks show.</summary>
    public NodeReading Read()
    {
        var memory = _memory.Statistics;
        var routing = _replicator.Ownership.Current;
        return new NodeReading(
            routing.View.Self.Name.ToString(),
            memory.Entries,
            memory.Tombstones,
            memory.TombstoneBytes,
            memory.Bytes,
            _memory.SizeLimit,
            [.. routing.View.Members.Select(member => member.State)],
            routing.Import.PendingSlots().Count);
    }

    public async ValueTask DisposeAsync()
    {
        Metrics.Nodes.Remove(this);
        Cache.Dispose();
        await StopAsync(TimeSpan.MaxValue).ConfigureAwait(false);
        _memory.Dispose();
    }

    /// <summary>A provider that is disposed synchronously stops its host first, so that nothing is left to wait for here.</summary>
    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    /// <summary>All that is under way ends by itself in this time, if its caller takes the result.</summary>
    private async Task DrainAsync(TimeSpan limit)
    {
        var started = _time.GetTimestamp();
        var forLargest = WritePath.ExtraTimeFor(_options.Memory.MaximumValueBytes);
        var longest = _options.Replication.Timeout + (forLargest > LaneLimits.TimeForLargeReply ? forLargest : LaneLimits.TimeForLargeReply);
        while (!_replicator.IsIdle && _time.GetElapsedTime(started) < (longest < limit ? longest : limit))
        {
            await Task.Delay(DrainPoll, _time).ConfigureAwait(false);
        }
    }

    private GossipLoop CreateGossip(PeerAddress bound)
    {
        var cluster = _options.Cluster;
        var seeds = cluster.Seeds.Where(entry => !CombinedSeeds.IsFile(entry)).Select(PeerAddress.Parse).ToArray();
        var advertised = AdvertisedAddress.Find(cluster.Advertise is { } told ? PeerAddress.Parse(told) : null, bound, seeds);
        var settings = new MembershipSettings(
            NodeName.Parse(cluster.NodeName ?? advertised.ToString()),
            advertised,
            cluster.Zone,
            _options.Replication.ReplicaCount,
            cluster.Profile,
            cluster.JoinTimeout);
        return new GossipLoop(settings, _transport, _time, Random.Shared, CombinedSeeds.Parse(cluster.Seeds, _logger), _logger);
    }

    /// <summary>Whether strangers may reach the port and nothing there asks who they are.</summary>
    internal static bool IsOpen(ClusterOptions cluster, PeerAddress bound) =>
        !IsLoopback(bound) && cluster is { SharedSecret: null } and not { Tls: { IsOn: true, RequireClientCertificate: true } };

    private static bool IsLoopback(PeerAddress address) =>
        address.Host == "localhost" || (IPAddress.TryParse(address.Host, out var ip) && IPAddress.IsLoopback(ip));

    /// <summary>What this node knows before it starts: itself.</summary>
    private MembershipView AloneView()
    {
        var cluster = _options.Cluster;
        var name = NodeName.Parse(cluster.NodeName ?? cluster.Advertise ?? cluster.Listen ?? "local");
        var identity = new NodeIdentity(name, _time.GetUtcNow().ToUnixTimeMilliseconds());
        var record = new MemberRecord(identity, 0, MemberState.Alive, default, cluster.Zone, _options.Replication.ReplicaCount);
        var self = new Member(record, IsSettled: true);
        return new MembershipView(self, [self]);
    }
}
