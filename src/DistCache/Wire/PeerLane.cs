using DistCache.Diagnostics;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// One lane to one address, standing or not: dials at the first use, shares a dial among all who wait for it, and remembers a failure
/// for a while that doubles up to a second, so that a dead peer costs next to nothing. Only who asks for news dials meanwhile
/// (<see cref="PeerRequest.DialsAnew"/>).
/// </summary>
internal sealed class PeerLane(WireContext context, PeerAddress address, Lane lane, PeerLane? bulk, Action<PeerAddress> broken, Action stands)
{
    public static readonly PeerFault Closing = new(FaultKind.Unreachable, "This node is closing.");

    private static readonly TimeSpan SmallestBackOff = TimeSpan.FromMilliseconds(50);

    private static readonly TimeSpan LargestBackOff = TimeSpan.FromSeconds(1);

    /// <summary>What the system's timers bear; a caller that wants longer waits this long.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromDays(24);

    private readonly Lock _lock = new();
    private volatile LaneConnection? _connection;
    private Task<DialOutcome>? _dial;
    private PeerFault? _fault;
    private long _retryAt;
    private int _failures;
    private FaultKind? _logged;
    private bool _wasWoken;
    private bool _wakeAgain;
    private bool _closed;

    /// <summary>The bulk lane to the same peer; itself if it is that.</summary>
    public PeerLane Bulk => bulk ?? this;

    public bool IsIdle => _connection is null && _dial is null;

    /// <summary>Takes a call over, to be ended by its deadline; or gives the fault that it has ended with at once.</summary>
    public PeerFault? Send(PeerCall call)
    {
        if (_connection is { } connection && connection.TrySend(call, waited: false) == AddOutcome.Added)
        {
            return null;
        }

        if (!call.Request.DialsAnew && RememberedFault() is { } fault)
        {
            return fault;
        }

        _ = SendSlowlyAsync(call);
        return null;
    }

    /// <summary>
    /// Another lane to this address has just come to stand: if this one hangs since the link was cut, it need not wait for TCP's next repetition. If
    /// the last dial failed, the next one is not worth waiting for. Nor is it if the one
    /// under way fails: it may have been refused before the peer's port was open, and not know it yet. But only once for each dial of our own: lanes
    /// that stand and break at once would wake each other without end.
    /// </summary>
    public void Wake()
    {
        _connection?.GiveUpIfDoubtful();
        lock (_lock)
        {
            if (_connection is not null || _wasWoken || _closed)
            {
                return;
            }

            if (_dial is not null)
            {
                _wakeAgain = true;
            }
            else if (_fault is not null)
            {
                DialLocked(isWoken: true);
            }
        }
    }

    public void Close()
    {
        LaneConnection? connection;
        lock (_lock)
        {
            _closed = true;
            connection = _connection;
        }

        connection?.Dispose();
    }

    public void OnBroken(LaneConnection connection, PeerFault fault)
    {
        bool wasOurs;
        lock (_lock)
        {
            wasOurs = _connection == connection && !_closed;
            _connection = null;

            // One that stood for a while is dialled again at once; one that breaks right away is as good as a failed dial.
            if (context.Time.GetElapsedTime(connection.Since) < LargestBackOff)
            {
                BackOffLocked(fault);
            }
            else
            {
                _failures = 0;
            }
        }

        if (wasOurs)
        {
            Log.LaneBroken(context.Logger, address, lane, fault.Reason);
            broken(address);
        }
    }

    private PeerFault? RememberedFault()
    {
        lock (_lock)
        {
            return RememberedFaultLocked();
        }
    }

    private PeerFault? RememberedFaultLocked() => _fault is not null && context.Time.GetTimestamp() < _retryAt ? _fault : null;

    private async Task SendSlowlyAsync(PeerCall call)
    {
        try
        {
            if (await TrySendSlowlyAsync(call).ConfigureAwait(false) is not { } fault)
            {
                return;
            }

            call.EndWith(fault);
        }
        catch (TimeoutException)
        {
            call.EndWith(PeerFault.TimedOut);
        }
        catch (Exception exception)
        {
            call.EndWith(exception);
        }

        context.Completions.Add(call);
        context.Completions.Schedule();
    }

    /// <summary>Waits for the dial and for room; null if a connection has taken the call over.</summary>
    private async ValueTask<PeerFault?> TrySendSlowlyAsync(PeerCall call)
    {
        var (waited, anew) = (false, call.Request.DialsAnew);
        if (anew && DialUnderWay() is { } earlier)
        {
            // It may have been refused before this question came up, and not know it yet.
            await earlier.WaitAsync(Remaining(call.Deadline), context.Time, call.CancellationToken).ConfigureAwait(false);
        }

        while (true)
        {
            var outcome = await ConnectAsync(anew).WaitAsync(Remaining(call.Deadline), context.Time, call.CancellationToken).ConfigureAwait(false);
            if (outcome.Fault is not null)
            {
                return outcome.Fault;
            }

            anew = false;
            switch (outcome.Connection!.TrySend(call, waited))
            {
                case AddOutcome.Added:
                    return null;
                case AddOutcome.Full:
                    await outcome.Connection
                        .WaitForRoomAsync(call.Request, Remaining(call.Deadline), call.CancellationToken).ConfigureAwait(false);

                    // Before anything else: who was let in and does not come keeps those behind from being let in.
                    waited = true;
                    if (outcome.Connection.TrySend(call, waited) == AddOutcome.Added)
                    {
                        return null;
                    }

                    break;
                case AddOutcome.Closed:
                    break;
            }
        }
    }

    private TimeSpan Remaining(long deadline)
    {
        var left = context.Time.GetElapsedTime(context.Time.GetTimestamp(), deadline);
        return left <= TimeSpan.Zero ? throw new TimeoutException()
            : left < LongestWait ? left
            : LongestWait;
    }

    /// <summary>A caller whose lane broke before it could send comes here again: it waits no less for the next dial than others do.</summary>
    private Task<DialOutcome> ConnectAsync(bool anew)
    {
        lock (_lock)
        {
            if (_connection is { } connection)
            {
                return Task.FromResult(new DialOutcome(connection, null));
            }

            var fault = _closed ? Closing : _dial is null && !anew ? RememberedFaultLocked() : null;
            return fault is not null ? Task.FromResult(new DialOutcome(null, fault)) : _dial ?? DialLocked(isWoken: false);
        }
    }

    private Task<DialOutcome>? DialUnderWay()
    {
        lock (_lock)
        {
            return _dial;
        }
    }

    private Task<DialOutcome> DialLocked(bool isWoken)
    {
        _fault = null;
        _wasWoken = isWoken;
        using (ExecutionContext.SuppressFlow())
        {
            return _dial = Task.Run(DialAsync, CancellationToken.None);
        }
    }

    private async Task<DialOutcome> DialAsync()
    {
        DialOutcome outcome;
        do
        {
            outcome = await LaneDial.DialAsync(context, address, lane).ConfigureAwait(false);
            outcome.Connection?.BelongTo(this);
        }
        while (!TryEndDial(outcome));

        if (outcome.Connection is { } connection)
        {
            // Before anything else: whoever finds it sends on it.
            connection.Start();
            if (_closed)
            {
                connection.Dispose();
            }

            LogOnChange(outcome);
            stands();
        }
        else
        {
            LogOnChange(outcome);

            // Not after silence: whoever probes for that dials anew, and the next 5 s would begin at once.
            if (outcome.Fault!.Kind != FaultKind.TimedOut)
            {
                broken(address);
            }
        }

        return outcome;
    }

    /// <summary>False if it failed and was woken meanwhile: who waits for it waits for one more.</summary>
    private bool TryEndDial(DialOutcome outcome)
    {
        lock (_lock)
        {
            var isWoken = _wakeAgain;
            _wakeAgain = false;
            if (outcome.Fault is not null && isWoken && !_closed)
            {
                _wasWoken = true;
                return false;
            }

            _dial = null;
            _connection = outcome.Connection;
            _fault = null;
            if (outcome.Fault is not null)
            {
                BackOffLocked(outcome.Fault);
            }

            return true;
        }
    }

    /// <summary>An address is dialled for ever: a line when it begins to fail, or fails otherwise, and one when it answers again.</summary>
    private void LogOnChange(DialOutcome outcome)
    {
        var kind = outcome.Fault?.Kind;
        if (kind == _logged)
        {
            return;
        }

        if (outcome.Fault is not null)
        {
            Log.DialFailed(context.Logger, address, lane, outcome.Fault.Reason);
        }
        else
        {
            Log.DialSucceeded(context.Logger, address, lane, outcome.Connection!.Peer);
        }

        _logged = kind;
    }

    private void BackOffLocked(PeerFault fault)
    {
        var longest = SmallestBackOff * (1 << Math.Min(_failures++, 5));
        var backOff = (longest < LargestBackOff ? longest : LargestBackOff) * (0.5 + (Random.Shared.NextDouble() / 2));
        _fault = fault;
        _retryAt = context.Time.GetTimestamp() + (long)(backOff.TotalSeconds * context.Time.TimestampFrequency);
    }
}
