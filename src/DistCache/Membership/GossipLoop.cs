using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>
/// The only shell of <see cref="Swim"/>: gives it the time, the messages and the replies, and sends what it wants sent. One lock around
/// each step, never held while something is sent or an event is raised. Touches only the seams, so that the simulation can run it on
/// one thread.
/// </summary>
internal sealed class GossipLoop : IPeerHandler, IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly Swim _swim;
    private readonly SwimTiming _timing;
    private readonly TimeSpan _joinTimeout;
    private readonly IPeerTransport _transport;
    private readonly Outbox _outbox;
    private readonly TimeProvider _time;
    private readonly long _startedAt;
    private readonly SeedDialer _dialer;
    private readonly MembershipLog _log;
    private readonly ViewPublisher _views;
    private readonly ConcurrentDictionary<NodeName, long> _heard = new();
    private readonly SharedExchanges _exchanges;
    private readonly TaskCompletionSource _met = new();
    private readonly TaskCompletionSource _joined = new();
    private readonly ITimer _timer;
    private bool _isStarted;
    private bool _isStopped;

    public GossipLoop(
        MembershipSettings settings, IPeerTransport transport, TimeProvider time, Random random, ISeedSource seeds, ILogger logger)
    {
        _transport = transport;
        _time = time;
        _startedAt = time.GetTimestamp();
        _timing = SwimTiming.Of(settings.Profile);
        _joinTimeout = settings.JoinTimeout;
        _swim = new Swim(settings, time.GetUtcNow().ToUnixTimeMilliseconds(), random, Now());
        _log = new MembershipLog(logger, settings.Name);
        _outbox = new Outbox(transport, time, _log);
        _views = new ViewPublisher(_swim.BuildView(Now()), logger);
        _dialer = new SeedDialer(seeds, logger);
        _exchanges = new SharedExchanges(time, ExchangeOnceAsync);
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static loop => ((GossipLoop)loop!).Tick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        transport.Broken += Broke;
    }

    /// <summary>Raised in order, never two at once, outside all locks. Nothing raised is missing from <see cref="View"/>.</summary>
    public event Action<MembershipView>? ViewChanged
    {
        add => _views.Changed += value;
        remove => _views.Changed -= value;
    }

    public MembershipView View => _views.Current;

    /// <summary>This node's name and the incarnation that it goes by now; a record of its own past may have raised that.</summary>
    public NodeIdentity Self => View.Self.Record.Identity;

    /// <summary>
    /// Starts the loop. Completes when this node has met a member that counts for the table; when it has met others and the seeds have answered, or had a
    /// probe's time for it: they may be as new as itself, and know as little of a cluster that is there; at once when every other seed refuses; and
    /// after the join timeout in any case. The search goes on for ever.
    /// </summary>
    public async Task JoinAsync(CancellationToken cancellationToken)
    {
        var startedAt = _time.GetTimestamp();
        var lookedRound = LookRoundAsync();
        Step(_ => _isStarted = true);
        while (!_joined.Task.IsCompleted && !lookedRound.IsCompleted && !_isStopped)
        {
            var dialled = DialSeedsAsync(cancellationToken);
            var left = _joinTimeout - _time.GetElapsedTime(startedAt);
            await Task.WhenAny(_joined.Task, lookedRound, dialled, Delay(left)).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            left = _joinTimeout - _time.GetElapsedTime(startedAt);
            if (left <= TimeSpan.Zero || (dialled.IsCompleted && (await dialled.ConfigureAwait(false) || _met.Task.IsCompleted)))
            {
                break;
            }

            var pause = TimeSpan.FromMilliseconds(Math.Min(_timing.ProbeTimeout, left.TotalMilliseconds));
            await Task.WhenAny(_joined.Task, lookedRound, Delay(pause)).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
        }

        Step(now => _swim.EndJoin(now));
    }

    /// <summary>Tells every member directly that this node is about to leave; completes when they know, or did not answer.</summary>
    public Task LeaveAsync(CancellationToken cancellationToken) => AnnounceAsync(MemberState.Leaving, cancellationToken);

    /// <summary>Tells every member directly that this node has left; it takes no further part.</summary>
    public Task LeftAsync(CancellationToken cancellationToken) => AnnounceAsync(MemberState.Left, cancellationToken);

    /// <summary>This node dropped all that it held: another incarnation says so to the others.</summary>
    public void BeginAnew() => Step(now => _swim.BeginAnew(now));

    /// <summary>The member replied on the data lane: as good as an answered probe.</summary>
    public void Heard(NodeName name)
    {
        var now = Now().Elapsed;

        // Called for each reply: a quarter of an interval is exact enough, and spares the write.
        if (!_heard.TryGetValue(name, out var at) || now - at > _timing.ProbeInterval / 4)
        {
            _heard[name] = now;
        }
    }

    /// <summary>Exchanges all that is known with the node at this address, now: see <see cref="SharedExchanges"/>. Does nothing at a node that takes no part.</summary>
    public ValueTask ExchangeAsync(PeerAddress address, CancellationToken cancellationToken) => _exchanges.ExchangeAsync(address, cancellationToken);

    public ValueTask<PeerReply> HandleAsync(NodeIdentity from, PeerRequest request, CancellationToken cancellationToken)
    {
        if (request is IndirectProbeRequest indirect)
        {
            return ProbeForAsync(from, indirect, cancellationToken);
        }

        PeerReply reply = new PeerFault(FaultKind.Failed, "This node has left its cluster.");
        Step(now =>
        {
            if (_swim.IsTakingPart)
            {
                reply = request switch
                {
                    ProbeRequest probe => _swim.Probed(from, probe, now),
                    GossipRequest gossip => _swim.Gossiped(from, gossip, now),
                    ExchangeRequest exchange => _swim.Exchanged(from, exchange, now),
                    _ => new PeerFault(FaultKind.Unsupported, $"{request.GetType().Name} is no message of the membership."),
                };
            }
        });
        return new ValueTask<PeerReply>(reply);
    }

    /// <summary>Stops everything at once: others will notice as they notice a crash, unless <see cref="LeftAsync"/> was first.</summary>
    public async ValueTask DisposeAsync()
    {
        _transport.Broken -= Broke;
        lock (_lock)
        {
            if (_isStopped)
            {
                return;
            }

            _isStopped = true;
        }

        _timer.Dispose();
        _met.TrySetResult();
        _joined.TrySetResult();
        await _outbox.DisposeAsync().ConfigureAwait(false);
    }

    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "On the timer's thread it would end the process.")]
    private void Tick()
    {
        try
        {
            Step(now =>
            {
                // In an order that a replay repeats: that of the dictionary goes by hashes of strings, which differ from process to process.
                foreach (var (name, at) in _heard.ToArray().OrderBy(static heard => heard.Key))
                {
                    _swim.Heard(name, at);
                    _heard.TryRemove(new KeyValuePair<NodeName, long>(name, at));
                }

                _swim.Tick(now);
            });
            if (_dialer.HasChanged)
            {
                Forget(DialSeedsAsync(_outbox.Stopping));
            }
        }
        catch (Exception exception)
        {
            _log.LoopFailed(exception);

            // The timer has fired, and the step may have ended before it was armed again.
            _timer.Change(TimeSpan.FromMilliseconds(_timing.ProbeInterval), Timeout.InfiniteTimeSpan);
        }
    }

    private void Broke(PeerAddress address) => Step(now => _swim.Broke(address, now));

    /// <summary>One decision under the lock, and what follows from it outside.</summary>
    private void Step(Action<Moment> decide)
    {
        SwimEffects effects;
        bool hasMet;
        bool hasJoined;
        lock (_lock)
        {
            if (_isStopped)
            {
                return;
            }

            var now = Now();
            decide(now);
            effects = _swim.TakeEffects();
            if (effects.IsViewStale)
            {
                _views.Enqueue(_swim.BuildView(now));
            }

            hasMet = _swim.HasMet;
            hasJoined = _swim.HasJoined || !_swim.IsTakingPart;
            Arm(now);
        }

        _log.Write(effects);
        _views.Raise();
        foreach (var send in effects.Sends)
        {
            Forget(SendAsync(send));
        }

        if (hasMet)
        {
            _met.TrySetResult();
        }

        if (hasJoined)
        {
            _joined.TrySetResult();
        }

        if (effects.IsRedialDue)
        {
            Forget(DialSeedsAsync(_outbox.Stopping));
        }
    }

    private void Arm(Moment now)
    {
        if (!_isStarted)
        {
            return;
        }

        var due = _swim.NextDue(now);
        _timer.Change(due == long.MaxValue ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(due - now.Elapsed), Timeout.InfiniteTimeSpan);
    }

    /// <summary>Others had the time of a probe to answer too.</summary>
    private async Task LookRoundAsync()
    {
        await _met.Task.ConfigureAwait(false);
        await Delay(TimeSpan.FromMilliseconds(_timing.ProbeTimeout)).ConfigureAwait(false);
    }

    private async Task<PeerReply> SendAsync(SwimSend send)
    {
        var reply = await _outbox.RequestAsync(send, CancellationToken.None).ConfigureAwait(false);
        Step(now => _swim.Replied(send, reply, now));
        return reply;
    }

    /// <summary>Dials every seed that is not a member yet; true if nobody else is there: each refused, or is this node itself.</summary>
    private async Task<bool> DialSeedsAsync(CancellationToken cancellationToken)
    {
        var seeds = await _dialer.ResolveAsync(cancellationToken).ConfigureAwait(false);
        IReadOnlyList<SwimSend> sends = [];
        Step(now => sends = _swim.IsTakingPart ? _swim.Dial(seeds.Addresses, now) : []);
        var replies = await Task.WhenAll(sends.Select(SendAsync)).ConfigureAwait(false);
        var isNobodyThere = seeds.IsComplete;
        Step(_ => isNobodyThere &= !_swim.HasOthers);
        for (var i = 0; i < replies.Length; i++)
        {
            // One of the dead may be among them.
            isNobodyThere &= !seeds.Addresses.Contains(sends[i].To) || _dialer.IsNobodyThere(sends[i].To, replies[i]);
        }

        return isNobodyThere;
    }

    private async Task ExchangeOnceAsync(PeerAddress address)
    {
        SwimSend? send = null;
        Step(now => send = _swim.IsTakingPart ? _swim.ExchangeWith(address, now) : null);
        if (send is not null)
        {
            await SendAsync(send).ConfigureAwait(false);
        }
    }

    private async Task AnnounceAsync(MemberState state, CancellationToken cancellationToken)
    {
        IReadOnlyList<SwimSend> sends = [];
        Step(now => sends = _swim.Leave(state, now));
        await Task.WhenAll(sends.Select(send => _outbox.RequestAsync(send, cancellationToken))).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
    }

    private async ValueTask<PeerReply> ProbeForAsync(NodeIdentity from, IndirectProbeRequest request, CancellationToken cancellationToken)
    {
        SwimSend? send = null;
        Step(now => send = _swim.IsTakingPart ? _swim.AskedToProbe(from, request, now) : null);
        if (send is null)
        {
            return new PeerFault(FaultKind.Failed, "This node has left its cluster.");
        }

        var heard = await _outbox.RequestAsync(send, cancellationToken).ConfigureAwait(false);
        PeerReply reply = PeerFault.TimedOut;
        Step(now => reply = _swim.AnswerFor(from, request.Target, heard, now));
        return reply;
    }

    /// <summary>
    /// A delay that nothing cancels: a cancelled one would continue on another thread. Rounded up, because <see cref="Task.Delay(TimeSpan, TimeProvider)"/>
    /// rounds down: a rest below a millisecond would be over at once, and a loop that waits it out would spin.
    /// </summary>
    private Task Delay(TimeSpan time) => time <= TimeSpan.Zero
        ? Task.CompletedTask
        : Task.Delay(TimeSpan.FromMilliseconds(Math.Ceiling(time.TotalMilliseconds)), _time, CancellationToken.None);

    /// <summary>Lets it run; what goes wrong in it is a defect of ours, and at least in the log.</summary>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "Nobody awaits this task.")]
    private async void Forget(Task task)
    {
        try
        {
            await task.ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_isStopped)
        {
        }
        catch (Exception exception)
        {
            _log.LoopFailed(exception);
        }
    }

    private Moment Now() => new(
        (long)_time.GetElapsedTime(_startedAt).TotalMilliseconds, _time.GetUtcNow().ToUnixTimeMilliseconds());
}
