using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests.Wire;

/// <summary>A transport on loopback with a handler that a test chooses.</summary>
internal sealed class TestNode : IPeerHandler, IAsyncDisposable
{
    public static readonly TimeSpan Patience = DistCache.Tests.Patience.Time;

    private TestNode(string name, WireSettings settings, TimeProvider clockTime, TimeProvider time, ILogger logger)
    {
        Identity = new NodeIdentity(NodeName.Parse(name), 1_000);
        Clock = new HybridClock(clockTime);
        Transport = new WireTransport(settings, () => Identity, Clock, this, time, logger);
    }

    public WireTransport Transport { get; }

    public NodeIdentity Identity { get; }

    public HybridClock Clock { get; }

    public PeerAddress Address { get; private set; }

    /// <summary>Answers as the handler of the node; at first every read is a hit of its own key.</summary>
    public Func<NodeIdentity, PeerRequest, CancellationToken, ValueTask<PeerReply>> OnRequest { get; set; } =
        (_, request, _) => ValueTask.FromResult(Echo(request));

    /// <param name="name">The name of the node.</param>
    /// <param name="cluster">Of its cluster.</param>
    /// <param name="secret">The shared secret; null for none.</param>
    /// <param name="clockTime">What its hybrid clock goes by.</param>
    /// <param name="time">What its deadlines go by.</param>
    /// <param name="tls">Its certificates; null for plain text.</param>
    /// <param name="logger">Null for none.</param>
    /// <param name="keepAlive">Null for what nodes do.</param>
    public static TestNode Create(
        string name,
        string cluster = "test",
        string? secret = null,
        TimeProvider? clockTime = null,
        TimeProvider? time = null,
        TlsOptions? tls = null,
        ILogger? logger = null,
        KeepAlive? keepAlive = null)
    {
        time ??= TimeProvider.System;
        logger ??= NullLogger.Instance;
        var settings = new WireSettings(cluster)
        {
            Secret = secret is null ? null : System.Text.Encoding.UTF8.GetBytes(secret),
            Tls = tls is null ? null : new TlsCredentials(tls, time, logger),
            KeepAlive = keepAlive ?? KeepAlive.Default,
        };
        return new TestNode(name, settings, clockTime ?? TimeProvider.System, time, logger);
    }

    public static async Task<TestNode> StartAsync(
        string name,
        string cluster = "test",
        string? secret = null,
        TimeProvider? clockTime = null,
        TimeProvider? time = null,
        int port = 0,
        TlsOptions? tls = null,
        ILogger? logger = null,
        KeepAlive? keepAlive = null)
    {
        var node = Create(name, cluster, secret, clockTime, time, tls, logger, keepAlive);
        node.Address = await node.Transport.StartAsync(new PeerAddress("127.0.0.1", port), CancellationToken.None);
        return node;
    }

    public static ReadRequest Read(string key) => new(SampleMessages.Bytes(key), 0, Renew: false, WithValue: true, AsHolder: false);

    public static PeerReply Echo(PeerRequest request) => request switch
    {
        ReadRequest read => Hit(read.Key),
        WriteRequest => new WriteReply(WriteOutcome.Acknowledged, 0, 1, 1),
        _ => DoneReply.Instance,
    };

    public static ReadReply Hit(ReadOnlyMemory<byte> value) =>
        new(ReadOutcome.Hit, Standing.Primary, 0, new EntryVersion(1, 1), RemainingTime.Unlimited, value);

    public ValueTask<PeerReply> SendAsync(TestNode to, PeerRequest request, TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        Transport.SendAsync(to.Address, request, timeout ?? Patience, cancellationToken);

    public ValueTask<PeerReply> HandleAsync(NodeIdentity from, PeerRequest request, CancellationToken cancellationToken) =>
        OnRequest(from, request, cancellationToken);

    public ValueTask DisposeAsync() => Transport.DisposeAsync();
}
