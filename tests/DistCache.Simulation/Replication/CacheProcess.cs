using System.Buffers;
using System.Text;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;
using DistCache.Replication;
using DistCache.Simulation.Membership;
using Microsoft.Extensions.Logging;

namespace DistCache.Simulation.Replication;

/// <summary>A process that is a whole cache: what Hosting composes, without wire and host.</summary>
internal sealed class CacheProcess : IProcess
{
    /// <summary>Enough for everything that a scenario writes.</summary>
    public const long SizeLimit = 8 << 20;

    /// <summary>What goes by the bulk lane too, and more than fits into one batch of a transfer.</summary>
    public const int MaximumValueBytes = LaneLimits.InlineBytes + (4 << 10);

    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromSeconds(10);

    private readonly TimeProvider _time;
    private readonly HybridClock _clock;
    private readonly ReplicationOptions _options;
    private readonly Action<string> _trace;
    private readonly byte[] _room = new byte[MaximumValueBytes];

    public CacheProcess(Seams seams, Func<Seams, MembershipProcess> membership, ReplicationOptions options, long sizeLimit = SizeLimit)
    {
        _time = seams.Time;
        _options = options;
        _trace = line => seams.Logger.Log(LogLevel.Information, default, line, null, (text, _) => text);
        _clock = new HybridClock(seams.Time);
        var transport = new StampingTransport(seams.Transport, _clock);
        Membership = membership(seams with { Transport = transport });
        Memory = new MemoryTier(sizeLimit, Eviction.Lru, seams.Time, seams.Logger, new TierTuning(Shards: 1, HashSeed: 1), options.TombstoneLifetime);
        Replicator = new Replicator(Membership.View, Memory, transport, _clock, seams.Time, seams.Time, seams.Random, options, seams.Logger);
        Membership.Loop.ViewChanged += Learn;
        Replicator.Calls.Heard += Membership.Loop.Heard;
        Replicator.Calls.Exchange = Membership.Loop.ExchangeAsync;
        Replicator.TakeNewLife = Membership.Loop.BeginAnew;
    }

    public MembershipProcess Membership { get; }

    public MemoryTier Memory { get; }

    public Replicator Replicator { get; }

    public NodeIdentity Identity => Membership.Identity;

    /// <summary>So long after its membership it has its table, which differs from the others' meanwhile. Only ever longer: what comes later must not overtake.</summary>
    public TimeSpan TableDelay { get; set; }

    /// <summary>It refuses what its callers ask from now on.</summary>
    public bool HasStopped { get; private set; }

    public void Start()
    {
        Replicator.Start();
        Membership.Joined = Replicator.Open;
        Membership.Start();
    }

    public async Task StopAsync()
    {
        var started = _time.GetTimestamp();
        await Membership.Loop.LeaveAsync(CancellationToken.None);
        while (!Replicator.IsHandedOver && _time.GetElapsedTime(started) < LeaveTimeout)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(50), _time);
        }

        HasStopped = true;
        Replicator.Close();
        for (started = _time.GetTimestamp(); !Replicator.IsIdle && _time.GetElapsedTime(started) < LeaveTimeout;)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), _time);
        }

        await Membership.Loop.LeftAsync(CancellationToken.None);
        Replicator.Stop();
        await Membership.Loop.DisposeAsync();
    }

    public async ValueTask<PeerReply> HandleAsync(NodeIdentity from, PeerRequest request, CancellationToken cancellationToken)
    {
        var stamped = (StampedRequest)request;
        _clock.TryMerge(stamped.Clock);
        var reply = Replicator.Handle(from, stamped.Request) is { } answered
            ? await answered
            : await Membership.HandleAsync(from, stamped.Request, cancellationToken);
        TraceKey(from, stamped.Request, reply);
        return new StampedReply(reply, _clock.Current);
    }

    /// <summary>DISTCACHE_KEY names a key whose way is to be seen in the trace.</summary>
    private static readonly string? TracedKey = Environment.GetEnvironmentVariable("DISTCACHE_KEY");

    private void Learn(MembershipView view)
    {
        if (TableDelay == TimeSpan.Zero)
        {
            Replicator.Ownership.Update(view);
            return;
        }

        _time.CreateTimer(_ => Replicator.Ownership.Update(view), null, TableDelay, Timeout.InfiniteTimeSpan);
    }

    private void TraceKey(NodeIdentity from, PeerRequest request, PeerReply reply)
    {
        if (TracedKey is null)
        {
            return;
        }

        var traced = Encoding.UTF8.GetBytes(TracedKey);
        var concerns = request switch
        {
            ReadRequest read => read.Key.Span.SequenceEqual(traced),
            WriteRequest write => write.Key.Span.SequenceEqual(traced),
            ReplicateRequest replicate => replicate.Entry.Key.Span.SequenceEqual(traced),
            CompareRequest compare => compare.Held.Any(held => held.Key.Span.SequenceEqual(traced)),
            _ => reply is TransferReply transfer && transfer.Entries.Any(entry => entry.Key.Span.SequenceEqual(traced)),
        };
        if (concerns)
        {
            _trace($"{from.Name}: {request} {reply}, holds {Held(TracedKey)}");
        }
    }

    public async Task<bool> WriteAsync(string key, int? value, RemainingTime? life = null, int valueBytes = sizeof(int))
    {
        var remaining = value is null ? new RemainingTime((long)_options.TombstoneLifetime.TotalMilliseconds, 0, 0) : life ?? RemainingTime.Unlimited;
        var bytes = new byte[value is null ? 0 : valueBytes];
        BitConverter.TryWriteBytes(bytes, value ?? 0);
        var write = Replicator.Writes.Begin(Encoding.UTF8.GetBytes(key), value is null, remaining, new ReadOnlySequence<byte>(bytes), CancellationToken.None);
        return (await write.Reply).Outcome == WriteOutcome.Acknowledged;
    }

    /// <summary>Whether anybody answered, and the value.</summary>
    public async Task<(bool Answered, int? Value)> ReadAsync(string key)
    {
        var bytes = Encoding.UTF8.GetBytes(key);
        var slot = Slot.Of(bytes);
        if (Replicator.Reads.AnswersAlone(slot))
        {
            var outcome = Replicator.Reads.Look(bytes, _room, renew: true, out _, out _);
            return (true, outcome == LookupOutcome.Hit ? BitConverter.ToInt32(_room) : null);
        }

        var reply = await Replicator.Reads.ReadAsync(bytes, renew: true, withValue: true, CancellationToken.None);
        int? found = reply?.Outcome == ReadOutcome.Hit ? BitConverter.ToInt32(reply.Value.Span) : null;
        reply?.Release();
        return (reply is not null, found);
    }

    /// <summary>As a caller's get: a use of an entry with a sliding window is told to its other owners.</summary>
    public async Task UseAsync(string key)
    {
        var bytes = Encoding.UTF8.GetBytes(key);
        var slot = Slot.Of(bytes);
        if (Replicator.Reads.AnswersAlone(slot))
        {
            Replicator.Reads.Look(bytes, _room, renew: true, out _, out _);
            return;
        }

        (await Replicator.Reads.ReadAsync(bytes, renew: true, withValue: true, CancellationToken.None))?.Release();
    }

    /// <summary>This node's own copy is used, and nobody told.</summary>
    public bool Use(string key) => Memory.Read(Encoding.UTF8.GetBytes(key), _room, renew: true, out _, out _) == LookupOutcome.Hit;

    /// <summary>What this node itself holds: a value, or none for a tombstone; null for nothing.</summary>
    public (EntryVersion Version, int? Value)? Held(string key)
    {
        return Memory.Read(Encoding.UTF8.GetBytes(key), _room, renew: false, out var info, out _) switch
        {
            LookupOutcome.Hit => (info.Version, BitConverter.ToInt32(_room)),
            LookupOutcome.Tombstone => (info.Version, null),
            _ => null,
        };
    }

    public override string ToString() =>
        $"{Membership}, table {Replicator.Ownership.Current.Table.Hash:x8}{(Replicator.Ownership.Current.Import.IsComplete ? "" : ", importing")}";
}
