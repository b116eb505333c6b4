using DistCache.Diagnostics;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// The dialler's end of a lane that stands: requests go out through the batching writer, replies complete what waits in the table, in
/// whatever order they come. It breaks once, for whatever reason, and then all that waits gets the same fault.
/// </summary>
internal sealed class LaneConnection : IDisposable
{
    private readonly WireContext _context;
    private readonly PeerAddress _address;
    private readonly Lane _lane;
    private readonly LaneDial _dial;
    private readonly FrameReader _reader;
    private readonly BatchWriter _writer;
    private readonly PendingTable _pending;
    private readonly ChunkAssembly _chunks = new();
    private readonly CancellationToken _lifetime;
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
        _writer = new BatchWriter(lane, context.Clock);
        _pending = new PendingTable(context.Time, Abandon);
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
            _ = Task.Run(ReadLoopAsync, CancellationToken.None);
        }
    }

    /// <summary>Sends a request; <paramref name="reply"/> is what comes of it, unless the outcome is another than Added.</summary>
    public AddOutcome TrySend(
        PeerRequest request, long deadline, bool waited, CancellationToken cancellationToken, out ValueTask<PeerReply> reply)
    {
        reply = default;
        var added = _pending.TryAdd(request, deadline, waited, cancellationToken, out var pending);
        if (pending is null)
        {
            return added;
        }

        reply = pending.Reply;
        pending.WatchToken();
        AppendOutcome appended;
        try
        {
            appended = _writer.Append(pending.Id, request);
        }
        catch
        {
            _pending.TryRemove(pending);
            throw;
        }

        // Whoever takes it out completes it; if it is not there any more then the caller gave up or the lane broke meanwhile.
        if (appended != AppendOutcome.Appended && _pending.TryRemove(pending))
        {
            EndUnsent(pending, appended);
        }

        return AddOutcome.Added;
    }

    public Task WaitForRoomAsync(PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken) =>
        _pending.WaitForRoomAsync(request, timeout, cancellationToken);

    public void Dispose() => Break(PeerLane.Closing);

    private void EndUnsent(PendingRequest pending, AppendOutcome outcome)
    {
        if (outcome == AppendOutcome.TooLong && _lane != Lane.Bulk)
        {
            _ = SendOnBulkAsync(pending);
            return;
        }

        pending.Complete(outcome == AppendOutcome.TooLong
            ? new PeerFault(FaultKind.Failed, $"The request is longer than {WireLimits.MaximumMessageBytes} bytes.")
            : new PeerFault(FaultKind.Unreachable, $"The lane to {_address} is closed."));
    }

    /// <summary>The request, or its reply, is too long for this lane: the same caller gets what the bulk lane says.</summary>
    private async Task SendOnBulkAsync(PendingRequest pending)
    {
        try
        {
            pending.Complete(await _owner!.Bulk
                .SendAsync(pending.Request!, pending.Deadline, pending.CancellationToken).ConfigureAwait(false));
        }
        catch (Exception exception)
        {
            pending.Fail(exception);
        }
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
            await _writer.RunAsync(_dial.RequestStream, flush: true, _lifetime).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            Break(Lost(exception));
        }
    }

    private async Task ReadLoopAsync()
    {
        PeerFault end;
        try
        {
            do
            {
                while (_reader.TryRead(out var message))
                {
                    OnMessage(message, isOwned: false);
                }
            }
            while (await _reader.FillAsync(_lifetime).ConfigureAwait(false));
            end = _dial.ReadEnd();
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

        Break(end);
        _reader.Dispose();
    }

    private PeerFault Lost(Exception exception) =>
        new(FaultKind.Unreachable, $"The lane to {_address} broke: {exception.Message}");

    private void OnMessage(ReadOnlyMemory<byte> message, bool isOwned)
    {
        var reader = new MessagePackReader(message);
        var head = MessageHead.Read(ref reader);
        _context.MergeClock(head.Clock);
        switch (head.Kind)
        {
            case MessageKind.Chunk when !isOwned:
                if (_chunks.Add(head.Id, ControlCodec.ReadChunk(head, ref reader)) is { } whole)
                {
                    OnMessage(whole, isOwned: true);
                }

                break;
            case MessageKind.Abandon:
                _chunks.Abandon(head.Id);
                break;
            default:
                OnReply(head, ref reader, message, isOwned);
                break;
        }
    }

    private void OnReply(MessageHead head, ref MessagePackReader reader, ReadOnlyMemory<byte> message, bool isOwned)
    {
        // A note that a newer peer sends, or a reply whose caller gave up.
        if (!MessageCodec.IsReply(head.Kind) || _pending.Remove(head.Id) is not { } pending)
        {
            return;
        }

        try
        {
            if (head.Kind == MessageKind.AskOnBulk && _lane != Lane.Bulk)
            {
                _ = Task.Run(() => SendOnBulkAsync(pending), CancellationToken.None);
                return;
            }

            var isExpected = head.Kind == MessageKind.Fault || head.Kind == MessageCodec.ReplyKindOf(pending.Request!);
            pending.Complete(isExpected && MessageCodec.DecodeReply(head, ref reader, message, isOwned) is { } reply
                ? reply
                : throw RefusalException.Malformed($"A message of kind {(uint)head.Kind}, which does not answer the request."));
        }
        catch (RefusalException refusal)
        {
            pending.Complete(new PeerFault(FaultKind.Refused, $"{_address}: {refusal.Message}"));
            throw;
        }
    }

    private void Break(PeerFault fault)
    {
        if (Interlocked.Exchange(ref _broken, 1) != 0)
        {
            return;
        }

        _writer.Close();
        _owner?.OnBroken(this, fault);
        _pending.Close(fault);
        _pending.Dispose();
        _dial.Dispose();
    }
}
