using System.Runtime.CompilerServices;
using DistCache.Diagnostics;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// The dialler's end of a lane that stands: requests go out through the batching writer, replies end the calls that wait in the table, in
/// whatever order they come. It breaks once, for whatever reason, and then all that waits gets the same fault.
/// </summary>
internal sealed class LaneConnection : IDisposable
{
    /// <summary>Not for anybody outside: the call is to be sent again on the bulk lane.</summary>
    private static readonly PeerFault ForBulk = new(FaultKind.Failed, "Goes over the bulk lane.");

    private readonly WireContext _context;
    private readonly PeerAddress _address;
    private readonly Lane _lane;
    private readonly LaneDial _dial;
    private readonly FrameReader _reader;
    private readonly BatchWriter _writer;
    private readonly PendingTable _pending;
    private readonly LaneSilence _silence;
    private readonly ChunkAssembly _chunks = new();
    private readonly CancellationToken _lifetime;
    private readonly Action _onRead;
    private ConfiguredValueTaskAwaitable<int>.ConfiguredValueTaskAwaiter _read;
    private PeerLane? _owner;
    private int _broken;

    public LaneConnection(
        WireContext context, PeerAddress address, Lane lane, NodeIdentity peer, LaneDial dial, FrameReader reader)
    {
        _context = context;
        _address = address;
        _lane = lane;
        Peer = peer;
        _dial = dial;
        _reader = reader;
        _lifetime = dial.Lifetime.Token;
        _writer = new BatchWriter(lane, context.Clock, context.LargePace);
        _pending = new PendingTable(context.Time, OnLate);
        _silence = new LaneSilence(
            context.Time, lane == Lane.Control ? WireLimits.LongestControlSilence : WireLimits.LongestSilence, () => _writer.SentBytes, () => Break(NotHeard()));
        _onRead = () => Read(isFirst: false);
    }

    /// <summary>Who answered the Hello.</summary>
    public NodeIdentity Peer { get; }

    /// <summary>When it was made, by the clock's timestamps.</summary>
    public long Since { get; private set; }

    /// <summary>Says whose it is, before anybody sends on it: the owner is told when the lane breaks, and has the bulk lane beside it.</summary>
    public void BelongTo(PeerLane owner) => _owner = owner;

    /// <summary>Starts the two loops.</summary>
    public void Start()
    {
        Since = _context.Time.GetTimestamp();
        using (ExecutionContext.SuppressFlow())
        {
            _ = Task.Run(WriteLoopAsync, CancellationToken.None);
            ThreadPool.UnsafeQueueUserWorkItem(static connection => connection.Read(isFirst: true), this, preferLocal: false);
        }
    }

    /// <summary>Takes a call over, if the outcome is Added; it goes on in the thread pool.</summary>
    public AddOutcome TrySend(PeerCall call, bool waited)
    {
        call.Carrier = this;
        var added = _pending.TryAdd(call, waited);
        if (added != AddOutcome.Added)
        {
            return added;
        }

        // From here on anybody may end it.
        call.WatchToken(static state => ((LaneConnection)((PeerCall)state!).Carrier!).GiveUp((PeerCall)state!));
        try
        {
            var appended = _writer.Append(call.Id, call.Request);
            if (appended != AppendOutcome.Appended && _pending.TryRemove(call))
            {
                call.EndWith(ToFault(appended));
                LetGo(call);
            }
            else if (_lane == Lane.Bulk && !_pending.Contains(call))
            {
                // Whoever ended it found nothing to abandon yet.
                Abandon(call.Id);
            }
        }
        catch (Exception exception)
        {
            // A defect of the request: its sender hears of it.
            if (_pending.TryRemove(call))
            {
                call.EndWith(exception);
                LetGo(call);
            }
        }

        if (LetGo(call))
        {
            _context.Completions.Schedule();
        }

        _context.Completions.Wake(_writer);
        return AddOutcome.Added;
    }

    public Task WaitForRoomAsync(PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken) =>
        _pending.WaitForRoomAsync(request, timeout, cancellationToken);

    /// <summary>Another lane to this address has just come to stand: if this one seems to hang, it does.</summary>
    public void GiveUpIfDoubtful()
    {
        if (_silence.IsDoubtful)
        {
            Break(NotHeard());
        }
    }

    public void Dispose() => Break(PeerLane.Closing);

    private PeerFault ToFault(AppendOutcome outcome) => outcome switch
    {
        AppendOutcome.TooLong when _lane != Lane.Bulk => ForBulk,
        AppendOutcome.TooLong => new PeerFault(FaultKind.Failed, $"The request is longer than {WireLimits.MaximumMessageBytes} bytes."),
        _ => new PeerFault(FaultKind.Unreachable, $"The lane to {_address} is closed."),
    };

    /// <summary>The sender or the ender has done with the call; the last one passes it on. True where somebody must drain then.</summary>
    private bool LetGo(PeerCall call)
    {
        if (!call.LetGo())
        {
            return false;
        }

        if (ReferenceEquals(call.Reply, ForBulk))
        {
            // It, or its reply, is too long for this lane: the same caller gets what the bulk lane says, in as much more time as the longest takes.
            var more = LaneLimits.TimeForLargeReply.TotalSeconds * _context.Time.TimestampFrequency;
            call.Deadline = call.Deadline < long.MaxValue - (long)more ? call.Deadline + (long)more : long.MaxValue;
            call.OnFollows();
            if (_owner!.Bulk.Send(call) is not { } fault)
            {
                return false;
            }

            call.EndWith(fault);
        }

        _context.Completions.Add(call);
        return true;
    }

    private void GiveUp(PeerCall call)
    {
        if (_pending.TryRemove(call))
        {
            Abandon(call.Id);
            call.EndWith(new OperationCanceledException(call.CancellationToken));
            LetGo(call);
            _context.Completions.Schedule();
        }
    }

    private void OnLate(List<PeerCall> late)
    {
        if (late.Count == 0)
        {
            return;
        }

        late.ForEach(call => Abandon(call.Id));
        EndAll(late, _lane == Lane.Bulk ? PeerFault.LargeTimedOut : PeerFault.TimedOut);
        _silence.RanOutOfTime();
    }

    private void EndAll(List<PeerCall> calls, PeerFault fault)
    {
        foreach (var call in calls)
        {
            call.EndWith(fault);
            LetGo(call);
        }

        _context.Completions.Schedule();
    }

    private void Abandon(uint id)
    {
        if (_lane == Lane.Bulk)
        {
            _writer.Abandon(id);
        }
    }

    private async Task WriteLoopAsync()
    {
        try
        {
            await _writer.RunAsync(_dial.RequestStream, _dial.Sent, _lifetime).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            Break(Lost(exception));
        }
    }

    /// <summary>
    /// On a thread of the pool that nobody waits for: reads what is there, gives the reading away with the next read, and then lets the
    /// calls go on whose replies it has read.
    /// </summary>
    private void Read(bool isFirst)
    {
        PeerFault? end = null;
        var isGivenAway = false;
        try
        {
            var now = _context.Time.GetTimestamp();
            _silence.Heard(now);
            if (_lane == Lane.Data)
            {
                _context.LargePace.NoteSmall(now);
            }

            // What came with the end of the handshake is here already.
            while (isFirst || _reader.EndFill(_read.GetResult()))
            {
                isFirst = false;
                while (_reader.TryRead(out var message))
                {
                    OnMessage(message, _reader.Buffer, isWhole: false);
                }

                _read = _reader.BeginFill(_lifetime).ConfigureAwait(false).GetAwaiter();
                if (!_read.IsCompleted)
                {
                    // From here on another thread may be reading.
                    _read.UnsafeOnCompleted(_onRead);
                    isGivenAway = true;
                    break;
                }

                _context.Completions.Schedule();
            }

            end = isGivenAway ? null : _dial.ReadEnd();
        }
        catch (RefusalException refusal)
        {
            Metrics.LaneRefused(refusal.Cause);
            Log.PeerMisbehaved(_context.Logger, _address, _lane, refusal.Message);
            end = new PeerFault(FaultKind.Refused, $"{_address}: {refusal.Message}");
        }
        catch (Exception exception)
        {
            end = Lost(exception);
        }

        if (end is null)
        {
            _context.Completions.Drain();
            return;
        }

        Break(end);
        _reader.Dispose();
        _context.Completions.Schedule();
    }

    private PeerFault NotHeard() => new(FaultKind.Unreachable, $"{_address} has not been heard since a request ran out of time.");

    private PeerFault Lost(Exception exception) =>
        new(FaultKind.Unreachable, $"The lane to {_address} broke: {exception.Message}");

    /// <param name="message">What came.</param>
    /// <param name="buffer">What holds it.</param>
    /// <param name="isWhole">It came in chunks, and is no chunk itself.</param>
    private void OnMessage(ReadOnlyMemory<byte> message, ReceiveBuffer buffer, bool isWhole)
    {
        var reader = new MessagePackReader(message);
        var head = MessageHead.Read(ref reader);
        _context.MergeClock(head.Clock);
        switch (head.Kind)
        {
            case MessageKind.Chunk when !isWhole:
                var chunk = ControlCodec.ReadChunk(head, ref reader);
                if (_chunks.Add(head.Id, chunk) is { } whole)
                {
                    OnMessage(whole.Bytes.AsMemory(0, chunk.WholeBytes), whole, isWhole: true);
                    whole.Release();
                }

                break;
            case MessageKind.Abandon:
                _chunks.Abandon(head.Id);
                break;
            default:
                OnReply(head, ref reader, message, buffer);
                break;
        }
    }

    private void OnReply(MessageHead head, ref MessagePackReader reader, ReadOnlyMemory<byte> message, ReceiveBuffer buffer)
    {
        // A note that a newer peer sends, or a reply whose caller gave up.
        if (!MessageCodec.IsReply(head.Kind) || _pending.Remove(head.Id) is not { } call)
        {
            return;
        }

        // The value of a request that is still being sent is its sender's again.
        Abandon(head.Id);
        try
        {
            if (head.Kind == MessageKind.AskOnBulk && _lane != Lane.Bulk)
            {
                call.EndWith(ForBulk);
                return;
            }

            var isExpected = head.Kind == MessageKind.Fault || head.Kind == MessageCodec.ReplyKindOf(call.Request);
            call.EndWith(isExpected && MessageCodec.DecodeReply(head, ref reader, message, buffer) is { } reply
                ? reply
                : throw RefusalException.Malformed($"A message of kind {(uint)head.Kind}, which does not answer the request."));
        }
        catch (RefusalException refusal)
        {
            call.EndWith(new PeerFault(FaultKind.Refused, $"{_address}: {refusal.Message}"));
            throw;
        }
        catch (Exception exception)
        {
            call.EndWith(new PeerFault(FaultKind.Failed, $"The reply of {_address} could not be read: {exception.GetType().Name}."));
            throw;
        }
        finally
        {
            LetGo(call);
        }
    }

    private void Break(PeerFault fault)
    {
        if (Interlocked.Exchange(ref _broken, 1) != 0)
        {
            return;
        }

        _writer.Close(finishLong: false);
        _owner?.OnBroken(this, fault);
        EndAll(_pending.Close(), fault);
        _pending.Dispose();
        _silence.Dispose();
        _dial.Dispose();
    }
}
