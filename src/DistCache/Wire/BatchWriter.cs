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
/// all that has gathered, while the next batch gathers. On the bulk lane a long message goes in chunks, one with each batch and every long message in turn, so that none
/// waits for another to end.
/// </summary>
internal sealed class BatchWriter(Lane lane, HybridClock clock)
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
    private bool _closed;

    /// <summary>More waits to be sent than a reader of requests should add to.</summary>
    public bool IsFull => Volatile.Read(ref _unsentBytes) > WireLimits.UnsentReplyBytes;

    /// <summary>The next one whose wake-up is put off; see <see cref="Completions"/>.</summary>
    public BatchWriter? NextDeferred { get; set; }

    /// <summary>Appends a request; the caller wakes the loop when it has no more of them.</summary>
    public AppendOutcome Append(uint id, PeerRequest request) => Append(id, request, null);

    /// <summary>Appends a reply.</summary>
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

    /// <summary>Stops sending what goes in chunks under <paramref name="id"/>, and tells the peer if it has seen any of it.</summary>
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

                Interlocked.Add(ref _unsentBytes, message.Sent - message.Body.Length);
                if (message.Sent > 0)
                {
                    AppendLocked(MessageKind.Abandon, id);
                }
            }
        }

        Wake();
    }

    public void Wake() => _work.Set();

    /// <summary>True if its wake-up was not put off already.</summary>
    public bool TryDefer() => Interlocked.Exchange(ref _isDeferred, 1) == 0;

    public void EndDeferral() => Volatile.Write(ref _isDeferred, 0);

    /// <summary>Waits until something was sent. For one waiter, the reader of requests.</summary>
    public ValueTask WaitForRoomAsync() => _room.WaitAsync();

    /// <summary>Takes nothing more; the loop ends when it has written what is there.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
        }

        _work.Set();
        _room.Set();
    }

    /// <summary>The loop. Ends when closed, or with the exception of the stream.</summary>
    public async Task RunAsync(Stream stream, bool flush, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (!TryTakeBatch(out var batch, out var part, out var lastOf))
            {
                if (Volatile.Read(ref _closed))
                {
                    return;
                }

                await _work.WaitAsync().ConfigureAwait(false);
                continue;
            }

            await (flush ? SendAsync(stream, batch.Written, part, cancellationToken) : WriteAsync(stream, batch.Written, part, cancellationToken))
                .ConfigureAwait(false);
            Interlocked.Add(ref _unsentBytes, -(batch.Length + part.Length));
            batch.Clear();
            lastOf?.Release();
            _room.Set();
        }
    }

    private static async ValueTask WriteAsync(Stream stream, ReadOnlyMemory<byte> batch, ReadOnlyMemory<byte> part, CancellationToken cancellationToken)
    {
        await stream.WriteAsync(batch, cancellationToken).ConfigureAwait(false);
        if (part.Length > 0)
        {
            await stream.WriteAsync(part, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// To a stream that sends only when it is flushed. The connection below does one thing after the other, each with two changes of
    /// thread, so a short batch and its flush are asked for at once. A write that has to wait for the peer's window is not done when
    /// the flush is: then it is flushed again.
    /// </summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private static async ValueTask SendAsync(Stream stream, ReadOnlyMemory<byte> batch, ReadOnlyMemory<byte> part, CancellationToken cancellationToken)
    {
        if (batch.Length + part.Length > OneFrameBytes)
        {
            await WriteAsync(stream, batch, part, cancellationToken).ConfigureAwait(false);
            await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
            return;
        }

        var write = WriteAsync(stream, batch, part, cancellationToken);
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        if (!write.IsCompleted)
        {
            await write.ConfigureAwait(false);
            await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
            return;
        }

        await write.ConfigureAwait(false);
    }

    /// <summary>One of the two.</summary>
    private AppendOutcome Append(uint id, PeerRequest? request, PeerReply? reply)
    {
        if (lane == Lane.Bulk)
        {
            // Its length is known well enough: growing step by step would take twice the memory, and copy it all.
            var value = reply is ReadReply read ? read.Value.Length : request is null ? 0 : MessageCodec.WeightOf(request);
            var body = new MessageBuffer(value + WireLimits.OtherFieldsBytes);
            Encode(body, id, request, reply);
            return AppendBulk(id, body);
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

            return EndLocked(start);
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

    private AppendOutcome AppendBulk(uint id, MessageBuffer body)
    {
        if (body.Length > WireLimits.MaximumMessageBytes)
        {
            return AppendOutcome.TooLong;
        }

        lock (_lock)
        {
            if (_closed)
            {
                return AppendOutcome.Closed;
            }

            if (body.Length > LaneLimits.ChunkBytes)
            {
                _long.Enqueue(new LongMessage(id, body));
                Interlocked.Add(ref _unsentBytes, body.Length);
                return AppendOutcome.Appended;
            }

            var start = BeginLocked();
            _gathering.Append(body.WrittenSpan);
            body.Release();
            return EndLocked(start);
        }
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
    /// Gives all that has gathered, and the next chunk of the long message whose turn it is: its head ends the batch. Where it is the last one
    /// nobody else uses the message's memory any more; that of one which is abandoned, perhaps while a chunk is on its way, is left to the collector.
    /// </summary>
    private bool TryTakeBatch(out MessageBuffer batch, out ReadOnlyMemory<byte> part, out MessageBuffer? lastOf)
    {
        lock (_lock)
        {
            (part, lastOf) = (default, null);
            if (_long.TryDequeue(out var message))
            {
                part = AppendChunkHeadLocked(message);
                message.Sent += part.Length;
                if (message.Sent < message.Body.Length)
                {
                    _long.Enqueue(message);
                }
                else
                {
                    lastOf = message.Body;
                }
            }

            batch = _gathering;
            if (batch.Length == 0)
            {
                return false;
            }

            (_gathering, _writing) = (_writing, _gathering);
            return true;
        }
    }

    private ReadOnlyMemory<byte> AppendChunkHeadLocked(LongMessage message)
    {
        var part = message.Body.Written.Slice(message.Sent, Math.Min(LaneLimits.ChunkBytes, message.Body.Length - message.Sent));
        var start = _gathering.BeginMessage();
        ControlCodec.WriteChunkHead(
            new MessagePackWriter(_gathering), message.Id, clock.Current, message.Body.Length, message.Sent, part.Length);
        Interlocked.Add(ref _unsentBytes, _gathering.Length - start);
        _gathering.EndMessage(start, part.Length);
        return part;
    }

    private sealed class LongMessage(uint id, MessageBuffer body)
    {
        public uint Id { get; } = id;

        public MessageBuffer Body { get; } = body;

        public int Sent { get; set; }
    }
}
