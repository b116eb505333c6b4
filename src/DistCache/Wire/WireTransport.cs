using System.Collections.Concurrent;
using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Wire;

/// <summary>
/// Carries messages between nodes over gRPC: see docs/wire-protocol.md. Serves peers once <see cref="StartAsync"/> was called; dials
/// them with or without that.
/// </summary>
internal sealed class WireTransport : IPeerTransport, IAsyncDisposable
{
    /// <summary>With more addresses than this, those without a lane are forgotten: pods come and go for years.</summary>
    private const int RememberedAddresses = 1_024;

    private readonly WireContext _context;
    private readonly ConcurrentDictionary<PeerAddress, PeerLane[]> _peers = new();
    private PeerServer? _server;
    private int _disposed;

    /// <param name="settings">What to know of the options.</param>
    /// <param name="identity">Who this node is; asked at each handshake.</param>
    /// <param name="clock">Sent with every message and merged with every peer's.</param>
    /// <param name="handler">Answers the requests of peers, on the reader of their lane: it must not block.</param>
    /// <param name="time">For deadlines.</param>
    /// <param name="logger">For refusals and lanes that come and go.</param>
    public WireTransport(
        WireSettings settings, Func<NodeIdentity> identity, HybridClock clock, IPeerHandler handler, TimeProvider time, ILogger logger) =>
        _context = new WireContext(settings, identity, clock, handler, time, logger);

    public event Action<PeerAddress>? Broken;

    /// <summary>Connections to the port that are open now, whoever they are from.</summary>
    public int ServedConnections => _server?.Connections ?? 0;

    /// <summary>Opens the port, and gives the address with the port that is really bound.</summary>
    /// <exception cref="IOException">The port cannot be opened; the message names the address and the option.</exception>
    public async Task<PeerAddress> StartAsync(PeerAddress listen, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        if (_server is not null)
        {
            throw new InvalidOperationException("The transport has been started already.");
        }

        _server = await PeerServer.StartAsync(_context, listen, cancellationToken).ConfigureAwait(false);
        return _server.Address;
    }

    public ValueTask<PeerReply> SendAsync(PeerAddress to, PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var pending = PendingRequest.Rent(request);
        Send(to, pending, timeout, cancellationToken);
        return pending.Outcome;
    }

    public void Send(PeerAddress to, PeerCall call, TimeSpan timeout, CancellationToken cancellationToken)
    {
        PeerFault? fault = null;
        if (cancellationToken.IsCancellationRequested)
        {
            call.EndWith(new OperationCanceledException(cancellationToken));
        }
        else if (Volatile.Read(ref _disposed) != 0)
        {
            fault = PeerLane.Closing;
        }
        else
        {
            call.Deadline = _context.DeadlineAfter(timeout, call.Request.ExtraTime);
            call.CancellationToken = cancellationToken;
            fault = LanesOf(to)[(int)call.Request.Lane].Send(call);
            if (fault is null)
            {
                return;
            }
        }

        if (fault is not null)
        {
            call.EndWith(fault);
        }

        call.GoOn();
    }

    /// <summary>Ends all lanes and closes the port, in bounded time. Everything that waits for a reply gets a fault.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        foreach (var lane in _peers.Values.SelectMany(lanes => lanes))
        {
            lane.Close();
        }

        await _context.Closing.CancelAsync().ConfigureAwait(false);
        _context.Client.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync().ConfigureAwait(false);
        }
    }

    private PeerLane[] LanesOf(PeerAddress address)
    {
        if (_peers.TryGetValue(address, out var lanes))
        {
            return lanes;
        }

        if (_peers.Count > RememberedAddresses)
        {
            foreach (var (other, itsLanes) in _peers)
            {
                if (itsLanes.All(lane => lane.IsIdle))
                {
                    _peers.TryRemove(other, out _);
                }
            }
        }

        return _peers.GetOrAdd(address, CreateLanes);
    }

    private PeerLane[] CreateLanes(PeerAddress address)
    {
        PeerLane[] lanes = [];
        var bulk = new PeerLane(_context, address, Lane.Bulk, null, RaiseBroken, WakeAll);
        lanes =
        [
            new PeerLane(_context, address, Lane.Control, bulk, RaiseBroken, WakeAll),
            new PeerLane(_context, address, Lane.Data, bulk, RaiseBroken, WakeAll),
            bulk,
        ];
        return lanes;

        void WakeAll() => Array.ForEach(lanes, static lane => lane.Wake());
    }

    private void RaiseBroken(PeerAddress address)
    {
        try
        {
            Broken?.Invoke(address);
        }
        catch (Exception exception)
        {
            Log.BrokenSubscriberFailed(_context.Logger, address, exception);
        }
    }
}
