using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>What a dial came to: one of the two.</summary>
internal readonly record struct DialOutcome(LaneConnection? Connection, PeerFault? Fault);

/// <summary>
/// Dials one lane: a connection of its own, the Hello each way and, with a secret, the proofs, all within
/// <see cref="WireLimits.HandshakeTimeout"/>. A failure is a fault with its reason, never an exception.
/// </summary>
internal sealed class LaneDial : IDisposable
{
    private static readonly HttpRequestOptionsKey<LaneDial> Dial = new(nameof(LaneDial));

    private readonly WireContext _context;
    private readonly PeerAddress _address;
    private readonly Lane _lane;
    private readonly DuplexContent _content;
    private readonly byte[] _nonce;
    private readonly CancellationToken _lifetime;
    private Hello? _ownHello;
    private DialledStream? _stream;
    private volatile bool _isSecure;

    private LaneDial(WireContext context, PeerAddress address, Lane lane)
    {
        _context = context;
        _address = address;
        _lane = lane;
        _nonce = context.OwnNonces.Create();
        _content = new DuplexContent(CreateFirstMessage);
        Lifetime = new CancellationTokenSource(WireLimits.HandshakeTimeout, context.Time);
        _lifetime = Lifetime.Token;
        Closing = context.Closing.Token.UnsafeRegister(static state => ((CancellationTokenSource)state!).Cancel(), Lifetime);
    }

    /// <summary>Cancelled at the end of the lane, and when the handshake takes too long.</summary>
    public CancellationTokenSource Lifetime { get; }

    private CancellationTokenRegistration Closing { get; }

    private HttpResponseMessage? Response { get; set; }

    private string Scheme => _context.Settings.Tls is null ? "http" : "https";

    /// <summary>Where requests are written.</summary>
    public Stream RequestStream { get; private set; } = Stream.Null;

    /// <summary>Of what is written there.</summary>
    public SentWatch Sent { get; } = new();

    /// <summary>
    /// For all lanes of a node: it looks for silent connections once a second or so, and one for each lane would do that for each.
    /// </summary>
    public static HttpMessageInvoker CreateClient(KeepAlive keepAlive) => new(new SocketsHttpHandler
    {
        ConnectCallback = static (connection, cancellationToken) =>
            connection.InitialRequestMessage.Options.TryGetValue(Dial, out var dial)
                ? dial.ConnectAsync(cancellationToken)
                : throw new InvalidOperationException("A request that is no dial."),
        ActivityHeadersPropagator = null,
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        UseCookies = false,
        UseProxy = false,
        PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
        PooledConnectionLifetime = Timeout.InfiniteTimeSpan,
        InitialHttp2StreamWindowSize = WireLimits.ClientWindowBytes,
        KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
        KeepAlivePingDelay = keepAlive.DiallerDelay,
        KeepAlivePingTimeout = keepAlive.Timeout,
    });

    public static async Task<DialOutcome> DialAsync(WireContext context, PeerAddress address, Lane lane)
    {
        var dial = new LaneDial(context, address, lane);
        DialOutcome outcome = default;
        try
        {
            outcome = new DialOutcome(await dial.ConnectAsync().ConfigureAwait(false), null);
        }
        catch (Exception exception)
        {
            outcome = new DialOutcome(null, dial.ToFault(exception));
        }
        finally
        {
            if (context.OwnNonces.Forget(dial._nonce))
            {
                outcome = new DialOutcome(null, new PeerFault(FaultKind.Self, $"{address} is this node itself."));
            }

            if (outcome.Connection is null)
            {
                dial.Dispose();
            }
        }

        return outcome;
    }

    /// <summary>Why the peer ended the stream, from the gRPC status that it sent last.</summary>
    public PeerFault ReadEnd()
    {
        var status = Find(GrpcProtocol.StatusName);
        var message = ForeignText.Clean(GrpcProtocol.DecodeMessage(Find(GrpcProtocol.MessageName) ?? ""));
        return status is null or "0" or "14"
            ? new PeerFault(FaultKind.Unreachable, $"{_address} closed the lane. {message}".TrimEnd())
            : new PeerFault(FaultKind.Refused, $"{_address} refused with status {status}: {message}");
    }

    public void Dispose()
    {
        Closing.Dispose();
        Lifetime.Cancel();
        _content.Complete();
        Response?.Dispose();
        Lifetime.Dispose();
    }

    /// <summary>As DNS spells it: a header is ASCII, names need not be.</summary>
    internal static string AuthorityOf(PeerAddress address) =>
        address.Host.Contains(':') ? address.ToString() : $"{new Uri($"http://{address}").IdnHost}:{address.Port}";

    private async Task<LaneConnection> ConnectAsync()
    {
        // Not disposed here: its content, the open end of the lane, would go with it. The client gives each host a connection of its own.
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri($"{Scheme}://lane-{_context.NextDial()}{GrpcProtocol.ExchangePath}"))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = _content,
        };
        request.Options.Set(Dial, this);
        request.Headers.Host = AuthorityOf(_address);
        request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        Response = await _context.Client.SendAsync(request, _lifetime).ConfigureAwait(false);
        CheckResponse(Response);
        RequestStream = await _content.OpenAsync(_lifetime).ConfigureAwait(false);

        var body = await Response.Content.ReadAsStreamAsync(_lifetime).ConfigureAwait(false);
        var reader = new FrameReader(body, WireLimits.HandshakeMessageBytes);
        try
        {
            var peer = await GreetAsync(reader).ConfigureAwait(false);
            Lifetime.CancelAfter(Timeout.InfiniteTimeSpan);
            reader.MaximumMessageBytes = WireLimits.MessageBytes(_lane);
            return new LaneConnection(_context, _address, _lane, peer, this, reader);
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    private async Task<NodeIdentity> GreetAsync(FrameReader reader)
    {
        var hello = ControlCodec.ReadHello(await ReadAsync(reader).ConfigureAwait(false));
        CheckAnswer(hello);
        await ProveAsync(reader, hello).ConfigureAwait(false);

        // Not before the proof: a stranger must not move this node's clock.
        _context.MergeClock(hello.Clock);
        return hello.Identity;
    }

    private void CheckAnswer(Hello hello)
    {
        if (hello.Nonce.Span.SequenceEqual(_nonce))
        {
            throw new RefusalException(GrpcStatus.FailedPrecondition, "reflected", "The peer sent this node's own nonce back.");
        }

        if (hello.Lane != _lane)
        {
            throw RefusalException.Malformed($"The peer answers for the lane {hello.Lane}, where {_lane} was dialled.");
        }

        _context.Check(hello);
    }

    private async Task ProveAsync(FrameReader reader, Hello peer)
    {
        if (_context.Settings.Secret is not { } secret)
        {
            return;
        }

        Debug.Assert(_ownHello is not null, "The peer answered a Hello that was never sent.");
        var buffer = new MessageBuffer();
        var start = buffer.BeginMessage();
        ControlCodec.WriteProof(new MessagePackWriter(buffer), _context.Clock.Current, Proof.ByDialler(secret, _ownHello, peer));
        buffer.EndMessage(start);
        await RequestStream.WriteAsync(buffer.Written, _lifetime).ConfigureAwait(false);
        await RequestStream.FlushAsync(_lifetime).ConfigureAwait(false);

        var proof = ControlCodec.ReadProof(await ReadAsync(reader).ConfigureAwait(false));
        if (!CryptographicOperations.FixedTimeEquals(proof.Span, Proof.ByListener(secret, _ownHello, peer)))
        {
            throw new RefusalException(GrpcStatus.Unauthenticated, "secret", "The peer does not know the shared secret.");
        }
    }

    private async ValueTask<ReadOnlyMemory<byte>> ReadAsync(FrameReader reader) =>
        await reader.ReadAsync(_lifetime).ConfigureAwait(false) ?? throw new PeerFaultException(ReadEnd());

    private void CheckResponse(HttpResponseMessage response)
    {
        if (response.StatusCode != HttpStatusCode.OK)
        {
            throw NotOne($"it answered with HTTP status {(int)response.StatusCode}");
        }

        var type = response.Content.Headers.ContentType?.MediaType;
        if (type?.StartsWith(GrpcProtocol.ContentType, StringComparison.OrdinalIgnoreCase) != true)
        {
            throw NotOne($"it answered with the content type \"{ForeignText.Clean(type ?? "")}\"");
        }

        if (response.Headers.Contains(GrpcProtocol.StatusName))
        {
            throw new PeerFaultException(ReadEnd());
        }
    }

    private PeerFaultException NotOne(string reason) => new(new PeerFault(FaultKind.Refused, $"{_address} is not a DistCache node: {reason}."));

    private string? Find(string name) =>
        Response is not null && (Response.TrailingHeaders.TryGetValues(name, out var values) || Response.Headers.TryGetValues(name, out values))
            ? values.First()
            : null;

    private PeerFault ToFault(Exception exception) => exception switch
    {
        _ when Find<PeerFaultException>(exception) is { } ended => ended.Fault,
        RefusalException refusal => new PeerFault(FaultKind.Refused, $"{_address}: {refusal.Message}"),
        _ when _context.Closing.IsCancellationRequested => PeerLane.Closing,
        _ when Lifetime.IsCancellationRequested => new PeerFault(
            FaultKind.TimedOut, $"{_address} did not complete the handshake within {WireLimits.HandshakeTimeout.TotalSeconds} s."),
        _ when Find<SocketException>(exception) is { SocketErrorCode: SocketError.ConnectionRefused } => new PeerFault(
            FaultKind.NotListening, $"{_address} refuses connections: nobody listens there."),
        _ when _stream is { HasHeard: false } => new PeerFault(
            FaultKind.Unreachable,
            $"{_address} closed the connection without a word: it is closing, has too many connections, or expects TLS (Cluster.Tls)."),
        _ when _isSecure && Response is null => new PeerFault(
            FaultKind.Refused, $"{_address} closed the connection after TLS was agreed on. If it does not take this node's certificate, its log says why."),
        HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError } http =>
            new PeerFault(FaultKind.Unreachable, $"{_address} cannot be reached: {http.InnerException?.Message ?? http.Message}."),
        HttpRequestException or IOException or OperationCanceledException when Find<SocketException>(exception) is null => new PeerFault(
            FaultKind.Refused, $"{_address} does not speak the protocol of a DistCache node: {exception.Message}"),
        _ => new PeerFault(FaultKind.Unreachable, $"{_address} cannot be reached: {exception.Message}"),
    };

    private static T? Find<T>(Exception? exception)
        where T : Exception
    {
        while (exception is not null and not T)
        {
            exception = exception.InnerException;
        }

        return (T?)exception;
    }

    private ReadOnlyMemory<byte> CreateFirstMessage()
    {
        _ownHello = _context.CreateHello(_lane, _nonce);
        var buffer = new MessageBuffer();
        var start = buffer.BeginMessage();
        ControlCodec.Write(new MessagePackWriter(buffer), _ownHello);
        buffer.EndMessage(start);
        return buffer.Written;
    }

    private async ValueTask<Stream> ConnectAsync(CancellationToken cancellationToken)
    {
        // The client goes on connecting for others when a request is given up; there are no others.
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _lifetime);
        var addresses = await Dns.GetHostAddressesAsync(_address.Host, either.Token).ConfigureAwait(false);
        var race = new ConnectRace((targets, token) => ConnectRace.ConnectAsync(targets, _address.Port, token), _context.Time);
        var socket = await race.RunAsync(addresses, either.Token).ConfigureAwait(false);
        try
        {
            _stream = new DialledStream(socket, Sent);

            // The client would keep the connection for the next request to the same host.
            _lifetime.UnsafeRegister(static stream => ((Stream)stream!).Dispose(), _stream);
            if (_context.Settings.Tls is not { } tls)
            {
                return _stream;
            }

            var secure = await TlsHandshake.DialAsync(tls, _stream, _address, either.Token).ConfigureAwait(false);
            _isSecure = true;
            return secure;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
