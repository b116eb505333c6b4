using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// Sends requests to members and draws the conclusions from each answer: a breaker per member, so that a dead or silent one costs
/// at most one timeout; word to membership about who was heard; an exchange of members where tables differ.
/// </summary>
internal sealed class PeerCalls(IPeerTransport transport, TimeProvider time)
{
    /// <summary>How long a member is passed over after it failed to answer, before one request tries it again.</summary>
    public static readonly TimeSpan BreakerOpenTime = TimeSpan.FromMilliseconds(500);

    /// <summary>While tables differ every answer says so; one exchange in this time is enough.</summary>
    private static readonly TimeSpan ExchangeInterval = TimeSpan.FromMilliseconds(200);

    private static readonly TimeSpan SmallestTellingTimeout = TimeSpan.FromMilliseconds(5);

    /// <summary>What comes of asking after the host has stopped this node.</summary>
    public static readonly PeerFault Stopped = new(FaultKind.Unreachable, "This node has stopped.");

    private readonly ConcurrentDictionary<NodeIdentity, long> _exchangedAt = new();
    private readonly ConcurrentDictionary<NodeIdentity, byte> _greeted = new();

    /// <summary>Nearly always empty, and asked for every call: that costs no more than a look at its count.</summary>
    private ImmutableDictionary<NodeIdentity, long> _failedAt = ImmutableDictionary<NodeIdentity, long>.Empty;

    /// <summary>A member answered on a data lane.</summary>
    public event Action<NodeName>? Heard;

    /// <summary>A member works by another table; the returned task ends when the members were exchanged.</summary>
    public Func<PeerAddress, CancellationToken, ValueTask> Exchange { get; set; } = static (_, _) => ValueTask.CompletedTask;

    /// <summary>Whether it makes sense to wait for this member.</summary>
    public bool IsUsable(Member member) => member.State is MemberState.Alive or MemberState.Leaving && !IsOpen(member.Record.Identity);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<PeerReply> SendAsync(Member to, PeerRequest request, Routing routing, TimeSpan timeout, CancellationToken cancellationToken)
    {
        if (timeout <= TimeSpan.Zero)
        {
            return PeerFault.TimedOut;
        }

        var startedAt = time.GetTimestamp();
        var reply = await SendAsync(to.Address, request, timeout, cancellationToken).ConfigureAwait(false);
        await ConcludeAsync(to, reply, routing, request.Lane, startedAt, timeout, cancellationToken).ConfigureAwait(false);
        return reply;
    }

    /// <summary>The same for a call that brings its own way to go on; it draws its conclusions itself.</summary>
    public void Send(Member to, PeerCall call, TimeSpan timeout, CancellationToken cancellationToken) =>
        transport.Send(to.Address, call, timeout, cancellationToken);

    /// <summary>
    /// Draws the conclusions from an answer. Completes at once, unless it makes sense to ask again after a moment, for which it waits for as
    /// long as is left of <paramref name="timeout"/>.
    /// </summary>
    public ValueTask ConcludeAsync(
        Member to, PeerReply reply, Routing routing, Lane lane, long startedAt, TimeSpan timeout, CancellationToken cancellationToken)
    {
        if (reply is PeerFault fault)
        {
            if (Opens(fault, lane, timeout))
            {
                Open(to.Record.Identity);
            }

            return default;
        }

        Close(to.Record.Identity);
        Heard?.Invoke(to.Name);
        if (TableHashOf(reply) is { } hash && hash != routing.Table.Hash)
        {
            // A refusal for that reason is worth waiting for the cure; an answer is not held up by it.
            if (IsNotMine(reply))
            {
                var exchange = Exchange(to.Address, cancellationToken);
                return exchange.IsCompletedSuccessfully ? default : WaitAsync(exchange.AsTask(), timeout - time.GetElapsedTime(startedAt));
            }

            if (IsExchangeDue(to.Record.Identity))
            {
                _ = Exchange(to.Address, CancellationToken.None).AsTask();
            }
        }

        return default;
    }

    /// <summary>
    /// Opens the data lanes to members that are new, or in a new life, so that the first read or write does not pay for the dial, nor for what
    /// the address did before; forgets the lives that are over. Completes when each answered or failed to.
    /// </summary>
    public Task GreetAsync(Routing routing, TimeSpan timeout)
    {
        ForgetAllBut([.. routing.LiveMembers.Select(member => member.Record.Identity)]);
        return Task.WhenAll(routing.LiveMembers
            .Where(member => !routing.IsSelf(member) && _greeted.TryAdd(member.Record.Identity, 0))
            .Select(async member =>
            {
                var reply = await SendAsync(member.Address, new TouchRequest([]) { IsGreeting = true }, timeout, CancellationToken.None).ConfigureAwait(false);
                if (reply is PeerFault)
                {
                    _greeted.TryRemove(member.Record.Identity, out _);
                }
                else
                {
                    // Whoever asked before its lane stood may have been told of a refusal in the last life.
                    Close(member.Record.Identity);
                }
            }));
    }

    /// <summary>Asks a node that is known by its address only: a holder named by another member.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<PeerReply> SendAsync(PeerAddress to, PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken)
    {
        try
        {
            return await transport.SendAsync(to, request, timeout, cancellationToken).ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            // The host has stopped this node, and somebody still uses the cache.
            return Stopped;
        }
    }

    private async ValueTask WaitAsync(Task exchange, TimeSpan left)
    {
        try
        {
            await exchange.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // It goes on for whoever asks next.
        }
    }

    private bool IsOpen(NodeIdentity identity) =>
        _failedAt is { IsEmpty: false } all && all.TryGetValue(identity, out var failedAt) && time.GetElapsedTime(failedAt) < BreakerOpenTime;

    /// <summary>
    /// A large value that is slow on the bulk lane says nothing about small reads, and a caller that had hardly any time left nothing about
    /// the member. Somebody else at its address is as good as nobody.
    /// </summary>
    private static bool Opens(PeerFault fault, Lane lane, TimeSpan timeout) => fault.Kind switch
    {
        FaultKind.Unreachable or FaultKind.NotListening or FaultKind.Refused or FaultKind.Self => true,
        FaultKind.TimedOut => lane == Lane.Data && !ReferenceEquals(fault, PeerFault.LargeTimedOut) && timeout >= SmallestTellingTimeout,
        _ => false,
    };

    private void Open(NodeIdentity identity)
    {
        var now = time.GetTimestamp();
        ImmutableInterlocked.AddOrUpdate(ref _failedAt, identity, now, (_, _) => now);
    }

    private void Close(NodeIdentity identity)
    {
        if (!_failedAt.IsEmpty)
        {
            ImmutableInterlocked.TryRemove(ref _failedAt, identity, out _);
        }
    }

    /// <summary>What a call to one of the others still has to say is forgotten at the next change.</summary>
    private void ForgetAllBut(HashSet<NodeIdentity> lives)
    {
        ImmutableInterlocked.Update(ref _failedAt, static (all, lives) => all.RemoveRange(all.Keys.Where(life => !lives.Contains(life))), lives);
        foreach (var life in _greeted.Keys.Concat(_exchangedAt.Keys).Where(life => !lives.Contains(life)))
        {
            _greeted.TryRemove(life, out _);
            _exchangedAt.TryRemove(life, out _);
        }
    }

    private bool IsExchangeDue(NodeIdentity identity)
    {
        var now = time.GetTimestamp();
        var last = _exchangedAt.GetOrAdd(identity, now - (long)(2 * ExchangeInterval.TotalSeconds * time.TimestampFrequency));
        return time.GetElapsedTime(last, now) >= ExchangeInterval && _exchangedAt.TryUpdate(identity, now, last);
    }

    private static ulong? TableHashOf(PeerReply reply) => reply switch
    {
        ReadReply read => read.TableHash,
        WriteReply write => write.TableHash,
        ReplicateReply replicate => replicate.TableHash,
        HoldingsReply holdings => holdings.TableHash,
        _ => null,
    };

    private static bool IsNotMine(PeerReply reply) => reply
        is ReadReply { Outcome: ReadOutcome.NotMine }
        or WriteReply { Outcome: WriteOutcome.NotMine }
        or ReplicateReply { Outcome: ReplicateOutcome.NotMine };
}
