using System.Runtime.CompilerServices;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Wire;

internal enum AppendOutcome
{
    Appended,

    /// <summary>The message is too long for this lane; nothing was appended.</summary>
    TooLong,

    /// <summary>The lane is over; nothing was appended.</summary>
    Closed,
}

/// <summary>
/// The one writer of a lane. Anybody appends messages under a short lock; a single loop, which goes on on the thread that wakes it, writes
/// all that has gathered, while the next batch gathers. On the bulk lane a long message goes in chunks, one with each batch and every long message in turn, so that
/// none waits for another to end.
/// </summary>
/// <param name="lane">Its lane.</param>
/// <param name="clock">Sent with every message.</param>
/// <param name="pace">Of long messages; null on a lane that has none, and where nothing gives way.</param>
internal sealed class BatchWriter(Lane lane, HybridClock clock, LargePace? pace = null)
{
    /// <summary>One frame of HTTP/2: such a write is one step of the connection below, and its flush may be asked for before it is done.</summary>
    private const int OneFrameBytes = 16 << 10;

    private readonly Lock _lock = new();
    private readonly AsyncSignal _work = new(inline: true);
    private readonly AsyncSignal _room = new(inline: false);
    private readonly Queue<LongMessage> _long = new();
    private MessageBuffer _gathering = new();
    private MessageBuffer _writing = new();
    private long _unsentBytes;
    private int _isDeferred;
    private long _sentBytes;
    private bool _isCut;
    private bool _closed;

    /// <summary>More waits to be sent than a reader of requests should add to.</summary>
    public bool IsFull => Volatile.Read(ref _unsentBytes) > WireLimits.UnsentReplyBytes;

    /// <summary>The next one whose wake-up is put off; see <see cref="Completions"/>.</summary>
    public BatchWriter? NextDeferred { get; set; }

    /// <summary>Appends a request; the caller wakes the loop when it has no more of them.</summary>
    public AppendOutcome Append(uint id, PeerRequest request) => Append(id, request, null);

    /// <summary>Appends a reply, and releases it when it is not needed any more; one that is too long stays with the caller.</summary>
    public AppendOutcome Append(uint id, PeerReply reply) => Append(id, null, reply);

    /// <summary>Appends a read's reply that was never an object, on another lane than the bulk one.</summary>
    public void Append(uint id, in ReadHead reply, ReadOnlySpan<byte> value)
    {
        lock (_lock)
        {
            var start = BeginLocked();
            DataCodec.Write(new MessagePackWriter(_gathering), id, clock.Current, reply, value);
            EndLocked(start);
        }
    }

    /// <summary>Appends a message that has no fields; the caller wakes the loop.</summary>
    public void Append(MessageKind kind, uint id)
    {
        lock (_lock)
        {
            AppendLocked(kind, id);
        }
    }

    /// <summary>
    /// Stops sending what goes in chunks under <paramref name="id"/>, and tells the peer if it has seen any of it. From here on nobody
    /// reads the value of that message.
    /// </summary>
    public void Abandon(uint id)
    {
        lock (_lock)
        {
            for (var left = _long.Count; left > 0; left--)
            {
                var message = _long.Dequeue();
                if (message.Id != id)
                {
                    _long.Enqueue(message);
                    continue;
                }

                Interlocked.Add(ref _unsentBytes, message.Sent - message.Length);
                message.Release();
                if (message.Sent > 0)
                {
                    AppendLocked(MessageKind.Abandon, id);
                }
            }
        }

        Wake();
    }

    public void Wake() => _work.Set();

    /// <summary>What the stream has taken so far. Beyond a window the peer must have read it.</summary>
    public long SentBytes => Volatile.Read(ref _sentBytes);

    /// <summary>True if its wake-up was not put off already.</summary>
    public bool TryDefer() => Interlocked.Exchange(ref _isDeferred, 1) == 0;

    /// <summary>Whoever wakes it after this: a full fence, since one that finds the wake-up still put off relies on it.</summary>
    public void EndDeferral() => Interlocked.Exchange(ref _isDeferred, 0);

    /// <summary>Waits until something was sent. For one waiter, the reader of requests.</summary>
    public ValueTask WaitForRoomAsync() => _room.WaitAsync();

    /// <summary>Takes nothing more; the loop ends when it has written what is there, without the rest of long messages unless they are to be finished.</summary>
    public void Close(bool finishLong)
    {
        lock (_lock)
        {
            _closed = true;
            while (!finishLong && _long.TryDequeue(out var message))
            {
                message.Release();
            }
        }

        _work.Set();
        _room.Set();
    }

    /// <summary>The loop. Ends when closed, or with the exception of the stream.</summary>
    /// <param name="stream">Where to write.</param>
    /// <param name="sent">For a stream that sends only when it is flushed: sees what has left it.</param>
    /// <param name="cancellationToken">The end of the lane.</param>
    public async Task RunAsync(Stream stream, SentWatch? sent, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (TryTakeBatch() is not { } batch)
            {
                if (Volatile.Read(ref _closed))
                {
                    return;
                }

                await _work.WaitAsync().ConfigureAwait(false);
                continue;
            }

            await (sent is null ? stream.WriteAsync(batch.Written, cancellationToken) : SendAsync(stream, batch.Written, sent, cancellationToken)).ConfigureAwait(false);
            Interlocked.Add(ref _unsentBytes, -batch.Length);
            Volatile.Write(ref _sentBytes, _sentBytes + batch.Length);
            batch.Clear();
            _room.Set();
            if (_isCut && pace is not null)
            {
                await pace.RestAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>
    /// To a stream that sends only when it is flushed. The connection below does one thing after the other, each with two changes of
    /// thread, so a short batch and its flush are asked for at once. A write that had to wait for the peer's window comes after that flush, and needs another.
    /// </summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private static async ValueTask SendAsync(Stream stream, ReadOnlyMemory<byte> batch, SentWatch sent, CancellationToken cancellationToken)
    {
        if (batch.Length > OneFrameBytes)
        {
            await stream.WriteAsync(batch, cancellationToken).ConfigureAwait(false);
            await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
            return;
        }

        var write = stream.WriteAsync(sent.Over(batch), cancellationToken);
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        await write.ConfigureAwait(false);
        if (!sent.IsSent)
        {
            await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>One of the two.</summary>
    private AppendOutcome Append(uint id, PeerRequest? request, PeerReply? reply)
    {
        if (lane == Lane.Bulk)
        {
            return AppendBulk(id, request, reply);
        }

        lock (_lock)
        {
            var start = BeginLocked();
            try
            {
                Encode(_gathering, id, request, reply);
            }
            catch
            {
                _gathering.Truncate(start);
                throw;
            }

            return Release(reply, EndLocked(start));
        }
    }

    private void Encode(MessageBuffer buffer, uint id, PeerRequest? request, PeerReply? reply)
    {
        if (request is not null)
        {
            MessageCodec.Encode(buffer, id, clock.Current, request);
        }
        else
        {
            MessageCodec.Encode(buffer, id, clock.Current, reply!);
        }
    }

    private AppendOutcome AppendBulk(uint id, PeerRequest? request, PeerReply? reply)
    {
        var value = request is not null ? MessageCodec.ValueOf(request) : reply is ReadReply read ? read.Value : default;
        value = value.Length > LaneLimits.SentChunkBytes ? value : default;
        var body = new MessageBuffer(WireLimits.OtherFieldsBytes, leftOut: value);
        Encode(body, id, request, reply);
        var message = new LongMessage(id, body, value, reply);
        if (message.Length > WireLimits.MaximumMessageBytes)
        {
            return AppendOutcome.TooLong;
        }

        lock (_lock)
        {
            if (!_closed && message.Length > LaneLimits.SentChunkBytes)
            {
                _long.Enqueue(message);
                Interlocked.Add(ref _unsentBytes, message.Length);
                return AppendOutcome.Appended;
            }

            var start = BeginLocked();
            message.Take(_gathering, _closed ? 0 : message.Length);
            message.Release();
            return EndLocked(start);
        }
    }

    private static AppendOutcome Release(PeerReply? reply, AppendOutcome outcome)
    {
        if (outcome != AppendOutcome.TooLong)
        {
            reply?.Release();
        }

        return outcome;
    }

    private void AppendLocked(MessageKind kind, uint id)
    {
        var start = BeginLocked();
        ControlCodec.WriteEmpty(new MessagePackWriter(_gathering), kind, id, clock.Current);
        EndLocked(start);
    }

    private int BeginLocked() => _gathering.BeginMessage();

    private AppendOutcome EndLocked(int start)
    {
        var length = _gathering.Length - start;
        var limit = lane == Lane.Bulk ? LaneLimits.ChunkBytes : WireLimits.InlineMessageBytes;
        if (_closed || length - MessageBuffer.PrefixBytes > limit)
        {
            _gathering.Truncate(start);
            return _closed ? AppendOutcome.Closed : AppendOutcome.TooLong;
        }

        _gathering.EndMessage(start);
        Interlocked.Add(ref _unsentBytes, length);
        return AppendOutcome.Appended;
    }

    /// <summary>
    /// Gives all that has gathered, with the next chunk of the long message whose turn it is; null if there is nothing. The loop's, as is the note
    /// of whether there is more of that message.
    /// </summary>
    private MessageBuffer? TryTakeBatch()
    {
        lock (_lock)
        {
            _isCut = false;
            if (_long.TryDequeue(out var message))
            {
                AppendChunkLocked(message);
                _isCut = message.Sent < message.Length;
                if (_isCut)
                {
                    _long.Enqueue(message);
                }
                else
                {
                    message.Release();
                }
            }

            if (_gathering.Length == 0)
            {
                return null;
            }

            (_gathering, _writing) = (_writing, _gathering);
            return _writing;
        }
    }

    private void AppendChunkLocked(LongMessage message)
    {
        var part = Math.Min(pace?.ChunkBytes ?? LaneLimits.SentChunkBytes, message.Length - message.Sent);
        var start = _gathering.BeginMessage();
        ControlCodec.WriteChunkHead(new MessagePackWriter(_gathering), message.Id, clock.Current, message.Length, message.Sent, part);
        Interlocked.Add(ref _unsentBytes, _gathering.Length - start);
        message.Take(_gathering, part);
        _gathering.EndMessage(start);
    }

    /// <summary>
    /// A message that goes in chunks. Only what stands around its value is encoded: the value stays where it is and is copied chunk by chunk,
    /// under the lock of the writer, so that whoever abandons the message may use the value's memory for something else.
    /// </summary>
    private sealed class LongMessage(uint id, MessageBuffer body, ReadOnlyMemory<byte> value, PeerReply? reply)
    {
        private readonly int _valueAt = body.LeftOutAt ?? body.Length;

        public uint Id { get; } = id;

        public int Length { get; } = body.Length + (body.LeftOutAt is null ? 0 : value.Length);

        public int Sent { get; private set; }

        private ReadOnlySpan<byte> Rest =>
            Sent < _valueAt ? body.WrittenSpan[Sent.._valueAt]
            : Length - Sent > body.Length - _valueAt ? value.Span[(Sent - _valueAt)..]
            : body.WrittenSpan[^(Length - Sent)..];

        /// <summary>Appends the next <paramref name="count"/> bytes.</summary>
        public void Take(MessageBuffer destination, int count)
        {
            while (count > 0)
            {
                var rest = Rest;
                rest = rest.Length > count ? rest[..count] : rest;
                destination.Append(rest);
                Sent += rest.Length;
                count -= rest.Length;
            }
        }

        public void Release()
        {
            body.Release();
            reply?.Release();
        }
    }
}
