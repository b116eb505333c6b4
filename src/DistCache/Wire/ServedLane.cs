using DistCache.Diagnostics;
using DistCache.Peers;
using Microsoft.AspNetCore.Http;

namespace DistCache.Wire;

/// <summary>
/// The listener's end of a lane: greets, then reads requests and gives them to the handler on the reader itself. One that is answered
/// at once costs no hop and no allocation here; the others are answered when they are done, in any order.
/// </summary>
internal sealed class ServedLane
{
    /// <summary>For the replies to what was asked before the dialler ended its side, or this node began to close; all in all.</summary>
    private static readonly TimeSpan LastRepliesTimeout = TimeSpan.FromSeconds(1);

    /// <summary>Where values stand on their way from memory to the batch, until a longer one comes.</summary>
    private const int FirstRoomBytes = 4 << 10;

    private readonly WireContext _context;
    private readonly HttpContext _http;
    private readonly FrameReader _reader;
    private readonly Hello _dialler;
    private readonly BatchWriter _writer;
    private readonly ChunkAssembly _chunks = new();
    private readonly AsyncSignal _handled = new(inline: false);
    private readonly CancellationTokenSource _lifetime;
    private readonly CancellationTokenRegistration _aborting;
    private readonly CancellationTokenSource _reading;
    private byte[] _room = new byte[FirstRoomBytes];
    private int _inFlight;
    private bool _isEnding;

    private ServedLane(WireContext context, HttpContext http, FrameReader reader, Hello dialler)
    {
        _context = context;
        _http = http;
        _reader = reader;
        _dialler = dialler;
        _writer = new BatchWriter(dialler.Lane, context.Clock, context.LargePace);
        _lifetime = new CancellationTokenSource(Timeout.InfiniteTimeSpan, context.Time);
        _aborting = http.RequestAborted.UnsafeRegister(static lifetime => ((CancellationTokenSource)lifetime!).Cancel(), _lifetime);

        // A node that closes reads no more, but answers what it has read.
        _reading = CancellationTokenSource.CreateLinkedTokenSource(_lifetime.Token, context.Closing.Token);
        reader.MaximumMessageBytes = WireLimits.MessageBytes(dialler.Lane);
    }

    private bool IsOverLimit =>
        Volatile.Read(ref _inFlight) >= WireLimits.RequestsInFlight || _reader.PinnedBytes > WireLimits.BytesInFlight;

    public static async Task ServeAsync(WireContext context, HttpContext http, Guest guest)
    {
        using var reader = new FrameReader(http.Request.Body, WireLimits.HandshakeMessageBytes);
        var (status, reason) = (GrpcStatus.Ok, "");
        try
        {
            var dialler = await LaneGreeting.GreetAsync(context, http, guest, reader).ConfigureAwait(false);
            await new ServedLane(context, http, reader, dialler).RunAsync().ConfigureAwait(false);
            if (context.Closing.IsCancellationRequested)
            {
                (status, reason) = (GrpcStatus.Unavailable, "The node is closing.");
            }
        }
        catch (RefusalException refusal)
        {
            (status, reason) = (refusal.Status, refusal.Message);
            Metrics.LaneRefused(refusal.Cause);
            if (refusal.Cause != "self")
            {
                Log.LaneRefused(context.Logger, PeerApplication.AddressOf(http), reason);
            }
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            // The connection is gone: nobody to answer.
            http.Abort();
            return;
        }

        await PeerApplication.EndAsync(http, status, reason).ConfigureAwait(false);
    }

    private async Task RunAsync()
    {
        Metrics.ServedLanes(1);
        Task writing;
        using (ExecutionContext.SuppressFlow())
        {
            writing = Task.Run(WriteLoopAsync, CancellationToken.None);
        }

        using var wake = _lifetime.Token.UnsafeRegister(static state => ((ServedLane)state!).WakeReader(), this);
        try
        {
            await ReadLoopAsync().ConfigureAwait(false);
            EndSoon();
            while (Volatile.Read(ref _inFlight) > 0 && !_lifetime.IsCancellationRequested)
            {
                await _handled.WaitAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            Metrics.ServedLanes(-1);
            _writer.Close(finishLong: true);
            EndSoon();
            await writing.ConfigureAwait(false);
            await _lifetime.CancelAsync().ConfigureAwait(false);
            _reading.Dispose();
            await _aborting.DisposeAsync().ConfigureAwait(false);
            _lifetime.Dispose();
        }
    }

    /// <summary>Only the first call counts: its time is not given again at each step of the end.</summary>
    private void EndSoon()
    {
        if (!Interlocked.Exchange(ref _isEnding, true))
        {
            _lifetime.CancelAfter(LastRepliesTimeout);
        }
    }

    /// <summary>The reader may wait for room that nobody will make any more.</summary>
    private void WakeReader()
    {
        _writer.Close(finishLong: true);
        _handled.Set();
    }

    /// <summary>Without a writer the lane is over: the reader hears it through the token.</summary>
    private async Task WriteLoopAsync()
    {
        try
        {
            await _writer.RunAsync(_http.Response.Body, sent: null, _lifetime.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException or InvalidOperationException)
        {
            await _lifetime.CancelAsync().ConfigureAwait(false);
        }
    }

    private async Task ReadLoopAsync()
    {
        // The reader may wait for room just then.
        using var limit = _context.Closing.Token.UnsafeRegister(static lane => ((ServedLane)lane!).EndSoon(), this);
        try
        {
            do
            {
                if (_dialler.Lane == Lane.Data)
                {
                    _context.LargePace.NoteSmall(_context.Time.GetTimestamp());
                }

                while (HandleWhatCame())
                {
                    await WaitForRoomAsync().ConfigureAwait(false);
                }

                _writer.Wake();
            }
            while (await _reader.FillAsync(_reading.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (_reading.IsCancellationRequested && !_lifetime.IsCancellationRequested)
        {
            // This node closes.
            return;
        }

        if (_reader.IsInsideMessage)
        {
            throw RefusalException.Malformed("The stream ends in the middle of a message.");
        }
    }

    /// <summary>Handles the messages that are here; true if it stopped before the last one since there is no room.</summary>
    private bool HandleWhatCame()
    {
        // On the control lane membership may tell an application of its members.
        if (_dialler.Lane != Lane.Control)
        {
            Completions.BeginHandling();
        }

        try
        {
            while (_reader.TryRead(out var message))
            {
                OnMessage(message, _reader.Buffer, isWhole: false);
                if (_writer.IsFull || IsOverLimit)
                {
                    return true;
                }
            }

            return false;
        }
        finally
        {
            _context.Completions.EndHandling();
        }
    }

    /// <summary>Back-pressure: nothing more is read, so that the peer's window closes, until replies are sent and handlers done.</summary>
    private async Task WaitForRoomAsync()
    {
        _writer.Wake();
        while (IsOverLimit)
        {
            _lifetime.Token.ThrowIfCancellationRequested();
            await _handled.WaitAsync().ConfigureAwait(false);
        }

        while (_writer.IsFull)
        {
            _lifetime.Token.ThrowIfCancellationRequested();
            await _writer.WaitForRoomAsync().ConfigureAwait(false);
        }
    }

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
                    _reader.Leave(whole);
                }

                break;
            case MessageKind.Abandon:
                _chunks.Abandon(head.Id);
                break;
            case var kind when !kind.IsRequest():
                Metrics.UnsupportedMessage();
                break;
            default:
                OnRequest(head, ref reader, buffer);
                break;
        }
    }

    /// <summary>Answers a read without making an object, unless it is one for the bulk lane.</summary>
    private bool TryAnswer(MessageHead head, MessagePackReader reader)
    {
        if (head.Kind != MessageKind.Read || _dialler.Lane == Lane.Bulk)
        {
            return false;
        }

        var question = DataCodec.ReadQuestion(head, ref reader);
        try
        {
            return TryAnswer(head.Id, question);
        }
        catch (Exception exception)
        {
            Reply(head.Id, ToFault(head.Kind, exception));
            return true;
        }
    }

    private bool TryAnswer(uint id, in ReadQuestion question)
    {
        while (_context.Handler.TryRead(question, _room, out var answer))
        {
            if (answer.ValueLength > LaneLimits.InlineBytes)
            {
                _writer.Append(MessageKind.AskOnBulk, id);
                return true;
            }

            if (answer.ValueLength <= _room.Length)
            {
                _writer.Append(id, answer, _room.AsSpan(0, answer.ValueLength));
                return true;
            }

            _room = new byte[LaneLimits.InlineBytes];
        }

        return false;
    }

    private void OnRequest(MessageHead head, ref MessagePackReader reader, ReceiveBuffer buffer)
    {
        if (TryAnswer(head, reader))
        {
            return;
        }

        var request = MessageCodec.DecodeRequest(head, ref reader);
        if (request is null)
        {
            Metrics.UnsupportedMessage();
            Reply(head.Id, new PeerFault(FaultKind.Unsupported, $"Requests of kind {(uint)head.Kind} are not known here."));
            return;
        }

        ValueTask<PeerReply> handling;
        try
        {
            handling = _context.Handler.HandleAsync(_dialler.Identity, request, _lifetime.Token);
            if (handling.IsCompletedSuccessfully)
            {
                Reply(head.Id, handling.Result);
                return;
            }
        }
        catch (Exception exception)
        {
            Reply(head.Id, ToFault(head.Kind, exception));
            return;
        }

        buffer.Retain();
        Interlocked.Increment(ref _inFlight);
        _ = FinishAsync(head, handling, buffer);
    }

    private async Task FinishAsync(MessageHead head, ValueTask<PeerReply> handling, ReceiveBuffer buffer)
    {
        PeerReply reply;
        try
        {
            reply = await handling.ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            reply = ToFault(head.Kind, exception);
        }

        // In this order: the reply may be made of the request's bytes, if it is not so long that its value is read later.
        Reply(head.Id, reply);
        buffer.Release();
        Interlocked.Decrement(ref _inFlight);
        _context.Completions.Wake(_writer);
        _handled.Set();
    }

    private PeerFault ToFault(MessageKind kind, Exception exception)
    {
        if (!_lifetime.IsCancellationRequested)
        {
            Log.HandlerFailed(_context.Logger, (uint)kind, _dialler.Identity, exception);
        }

        return new PeerFault(FaultKind.Failed, $"The peer failed with {exception.GetType().Name}.");
    }

    private void Reply(uint id, PeerReply reply)
    {
        try
        {
            var isLarge = _dialler.Lane != Lane.Bulk && reply is ReadReply { Value.Length: > LaneLimits.InlineBytes };
            if (isLarge || _writer.Append(id, reply) == AppendOutcome.TooLong)
            {
                reply.Release();
                ReplyTooLong(id);
            }
        }
        catch (Exception exception)
        {
            // A reply that has no form on the wire is a defect of the handler: its caller hears of it, the lane goes on.
            _writer.Append(id, ToFault(MessageKind.Fault, exception));
        }
    }

    private void ReplyTooLong(uint id)
    {
        if (_dialler.Lane != Lane.Bulk)
        {
            _writer.Append(MessageKind.AskOnBulk, id);
            return;
        }

        _writer.Append(id, new PeerFault(FaultKind.Failed, $"The reply is longer than {WireLimits.MaximumMessageBytes} bytes."));
    }
}
