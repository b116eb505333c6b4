using System.Net;
using System.Net.Sockets;
using DistCache.Diagnostics;
using DistCache.Peers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace DistCache.Wire;

/// <summary>
/// The port that peers dial: a Kestrel of our own, of which only the server is started. It shares nothing with the application's: no
/// configuration, no environment variable, no logging, no middleware.
/// </summary>
internal sealed class PeerServer : IAsyncDisposable
{
    /// <summary>From the end of the lanes to the end of their connections; what is left then is aborted.</summary>
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(2);

    /// <summary>What a TLS connection begins with; HTTP/2 in plain text begins with a 'P'.</summary>
    private const byte TlsHandshakeRecord = 0x16;

    private const string NoRequest = "It closed without a request over HTTP/2.";
    private const string NoTls = "It closed without a request over HTTP/2 and TLS: it may not take this node's certificate.";

    private static readonly string TooMany =
        $"More than {WireLimits.Connections} connections, or {WireLimits.OpenConnections} with those that have to go.";

    private readonly WireContext _context;
    private readonly WebApplication _application;
    private readonly IServer _server;
    private readonly string _host;
    private readonly Strangers _strangers = new();
    private ListenOptions? _listener;
    private int _connections;

    private PeerServer(WireContext context, IPEndPoint endPoint, string host)
    {
        _context = context;
        _host = host;
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost
            .UseKestrelCore()
            .UseSockets(sockets =>
            {
                sockets.UnsafePreferInlineScheduling = true;

                // Else each read is two calls of the system, one of which only waits; it spares 4 KiB for a connection that is silent.
                sockets.WaitForDataBeforeAllocatingBuffer = false;
            })
            .ConfigureKestrel(kestrel => Configure(kestrel, endPoint));
        _application = builder.Build();
        _server = _application.Services.GetRequiredService<IServer>();
    }

    /// <summary>Where it listens, with the port that the system chose if it was to choose one.</summary>
    public PeerAddress Address => new(_host, _listener?.IPEndPoint?.Port ?? 0);

    /// <summary>Connections that are open now, whoever they are from.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <exception cref="IOException">The port cannot be opened; the message names the address and the option.</exception>
    public static async Task<PeerServer> StartAsync(WireContext context, PeerAddress listen, CancellationToken cancellationToken)
    {
        PeerServer? server = null;
        try
        {
            // Here the first time: a fault of a later handshake leaves these in use.
            context.Settings.Tls?.Current();
            var endPoint = await ResolveAsync(listen, cancellationToken).ConfigureAwait(false);
            server = new PeerServer(context, endPoint, listen.Host);
            await server._server.StartAsync(new PeerApplication(context), cancellationToken).ConfigureAwait(false);
            return server;
        }
        catch (Exception exception) when (exception is IOException or SocketException or InvalidOperationException)
        {
            if (server is not null)
            {
                await server.DisposeAsync().ConfigureAwait(false);
            }

            throw new IOException($"DistCache cannot listen on {listen} (Cluster.Listen): {Explain(exception)}", exception);
        }
    }

    public async ValueTask DisposeAsync()
    {
        using var timeout = new CancellationTokenSource(StopTimeout);
        await _server.StopAsync(timeout.Token).ConfigureAwait(false);
        await _application.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Who has to go counts no more, that the flood makes room for others; but it holds files and memory, so there is an end to that too.</summary>
    /// <param name="open">The connections, with the one that comes.</param>
    /// <param name="leaving">Those of them that have to go.</param>
    internal static bool IsFull(int open, int leaving) => open - leaving > WireLimits.Connections || open > WireLimits.OpenConnections;

    private static async Task<IPEndPoint> ResolveAsync(PeerAddress listen, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(listen.Host, out var address))
        {
            return new IPEndPoint(address, listen.Port);
        }

        var addresses = await Dns.GetHostAddressesAsync(listen.Host, cancellationToken).ConfigureAwait(false);
        var first = addresses.OrderBy(candidate => candidate.AddressFamily == AddressFamily.InterNetwork ? 0 : 1).FirstOrDefault();
        return new IPEndPoint(first ?? throw new IOException("the name has no address."), listen.Port);
    }

    private static string Explain(Exception exception) => (exception.InnerException as SocketException ?? exception) switch
    {
        SocketException { SocketErrorCode: SocketError.AccessDenied } => "access to the port is denied.",
        SocketException { SocketErrorCode: SocketError.AddressNotAvailable } => "no network interface of this machine has the address.",
        SocketException { SocketErrorCode: SocketError.HostNotFound } => "the name does not resolve.",
        _ when exception.InnerException is AddressInUseException => "the address is already in use.",
        _ => exception.Message,
    };

    private void Configure(KestrelServerOptions kestrel, IPEndPoint endPoint)
    {
        kestrel.AddServerHeader = false;
        var limits = kestrel.Limits;

        // A lane may be silent for hours and carry any number of bytes.
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        limits.MaxRequestBodySize = null;

        // These hold until a stream is open, and where none is.
        limits.KeepAliveTimeout = WireLimits.HandshakeTimeout;
        limits.RequestHeadersTimeout = WireLimits.HandshakeTimeout;
        limits.Http2.MaxStreamsPerConnection = WireLimits.StreamsPerConnection;
        limits.Http2.InitialConnectionWindowSize = WireLimits.ServerWindowBytes;
        limits.Http2.InitialStreamWindowSize = WireLimits.ServerWindowBytes;
        limits.Http2.KeepAlivePingDelay = _context.Settings.KeepAlive.ListenerDelay;
        limits.Http2.KeepAlivePingTimeout = _context.Settings.KeepAlive.Timeout;
        kestrel.Listen(endPoint, listener =>
        {
            _listener = listener;
            listener.Protocols = HttpProtocols.Http2;
            listener.Use(next => connection => AdmitAsync(connection, next));
            if (_context.Settings.Tls is { } tls)
            {
                listener.Use(next => connection => SecureTransport.ServeAsync(tls, connection, next));
            }
        });
    }

    /// <summary>Counts connections, and those that end without ever having asked for anything: they do not speak HTTP/2.</summary>
    private async Task AdmitAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        if (IsFull(Interlocked.Increment(ref _connections), _strangers.Leaving))
        {
            Interlocked.Decrement(ref _connections);
            Refused(connection, "connections", TooMany);
            connection.Abort();
            return;
        }

        using var guest = new Guest(connection, _strangers, _context.Time);
        connection.Features.Set(guest);
        try
        {
            var heartbeat = connection.Features.GetRequiredFeature<IConnectionHeartbeatFeature>();
            connection.Features.Set<IConnectionHeartbeatFeature>(new LaneHeartbeat(guest, heartbeat, _context.Time, _context.Settings.KeepAlive.Timeout));
            if (await SpeaksExpectedLanguageAsync(guest).ConfigureAwait(false))
            {
                await next(connection).ConfigureAwait(false);
            }
        }
        finally
        {
            Interlocked.Decrement(ref _connections);
            if (!guest.IsKnown && !_context.Closing.IsCancellationRequested && (guest.Flaw is not null || !guest.HasSpoken))
            {
                var isPlain = _context.Settings.Tls is null;
                Refused(connection, guest.HasSpoken ? "unproved" : isPlain ? "http2" : "tls", guest.Flaw ?? (isPlain ? NoRequest : NoTls));
            }
        }
    }

    /// <summary>The first byte tells TLS from plain text, so that the log can say which of the two is missing here or there.</summary>
    private async Task<bool> SpeaksExpectedLanguageAsync(Guest guest)
    {
        var first = await guest.Input.ReadAsync().ConfigureAwait(false);
        var isEmpty = first.Buffer.IsEmpty;
        var isTls = !isEmpty && first.Buffer.FirstSpan[0] == TlsHandshakeRecord;
        guest.Input.AdvanceTo(first.Buffer.Start);
        if (isEmpty || isTls == _context.Settings.Tls is not null)
        {
            return !isEmpty;
        }

        guest.Flaw ??= isTls
            ? "It speaks TLS, which is not set up here (Cluster.Tls)."
            : "It speaks plain text, where TLS is expected (Cluster.Tls).";
        return false;
    }

    private void Refused(ConnectionContext connection, string cause, string reason)
    {
        Metrics.ConnectionRefused(cause);
        Log.ConnectionRefused(_context.Logger, connection.RemoteEndPoint?.ToString() ?? "an unknown address", reason);
    }
}
