using DistCache.Entries;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Wire;

/// <summary>What all lanes of a node share, those it dials and those it serves.</summary>
internal sealed class WireContext(
    WireSettings settings, Func<NodeIdentity> identity, HybridClock clock, IPeerHandler handler, TimeProvider time, ILogger logger)
{
    private int _dials;

    public WireSettings Settings { get; } = settings;

    public HybridClock Clock { get; } = clock;

    public IPeerHandler Handler { get; } = handler;

    public TimeProvider Time { get; } = time;

    public ILogger Logger { get; } = logger;

    public OwnNonces OwnNonces { get; } = new();

    /// <summary>Where calls go on when they have ended.</summary>
    public Completions Completions { get; } = new();

    /// <summary>Dials all lanes.</summary>
    public HttpMessageInvoker Client { get; } = LaneDial.CreateClient(settings.KeepAlive);

    /// <summary>Between the chunks of large messages.</summary>
    public LargePace LargePace { get; } = new(time);

    /// <summary>The end of all lanes.</summary>
    public CancellationTokenSource Closing { get; } = new();

    public int NextDial() => Interlocked.Increment(ref _dials);

    /// <summary>As a timestamp; a message that carries a large value has more time.</summary>
    public long DeadlineAfter(TimeSpan timeout, TimeSpan extra)
    {
        var now = Time.GetTimestamp();
        var ticks = (timeout.TotalSeconds + extra.TotalSeconds) * Time.TimestampFrequency;
        return timeout == Timeout.InfiniteTimeSpan || ticks >= long.MaxValue - now ? long.MaxValue : now + (long)ticks;
    }

    public Hello CreateHello(Lane lane, ReadOnlyMemory<byte> nonce) => new(
        WireLimits.ProtocolVersion, Settings.Cluster, identity(), nonce, Clock.Current, lane, Settings.Secret is not null);

    /// <summary>What both sides ask of the other's Hello, in the order in which it is told.</summary>
    public void Check(Hello hello)
    {
        if (hello.Cluster != Settings.Cluster)
        {
            throw new RefusalException(
                GrpcStatus.FailedPrecondition,
                "cluster",
                $"The cluster \"{ForeignText.Clean(hello.Cluster)}\", where this node belongs to \"{Settings.Cluster}\" (Cluster.Name).");
        }

        if (hello.HasSecret != Settings.Secret is not null)
        {
            throw new RefusalException(
                GrpcStatus.Unauthenticated,
                "secret",
                hello.HasSecret
                    ? "A shared secret, where this node has none (Cluster.SharedSecret)."
                    : "No shared secret, where this node has one (Cluster.SharedSecret).");
        }
    }

    public void MergeClock(ulong clock)
    {
        if (!Clock.TryMerge(clock))
        {
            throw new RefusalException(
                GrpcStatus.FailedPrecondition,
                "clock",
                $"A clock more than {HybridClock.MaximumLead.TotalHours} hours ahead of this node's.");
        }
    }
}
