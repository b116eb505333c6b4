using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

internal sealed class BatchWriterTests
{
    [Test]
    public async Task Messages_AppendedDuringAWrite_GoTogetherInTheNext()
    {
        var writer = new BatchWriter(Lane.Data, new HybridClock(new ManualTime()));
        var stream = new GatedStream();
        var running = writer.RunAsync(stream, sent: null, default);

        writer.Append(1, TestNode.Read("first"));
        writer.Wake();
        await stream.WaitForWriteAsync();
        for (var id = 2u; id <= 100; id++)
        {
            writer.Append(id, TestNode.Read("more"));
        }

        stream.LetWritesGo();
        writer.Close(finishLong: true);
        await running.WaitAsync(TestNode.Patience);

        Assert.That(stream.Writes.Select(write => Ids(write).Length), Is.EqualTo(new[] { 1, 99 }));
    }

    [Test]
    public async Task LongMessages_OnTheBulkLane_TakeTurnsAndLetShortOnesThrough()
    {
        var writer = new BatchWriter(Lane.Bulk, new HybridClock(new ManualTime()));
        var stream = new GatedStream();
        var value = new byte[(3 * LaneLimits.SentChunkBytes) - 100];
        writer.Append(1, Write(value));
        writer.Append(2, Write(value));
        var running = writer.RunAsync(stream, sent: null, default);
        await stream.WaitForWriteAsync();
        writer.Append(3, TestNode.Read("short"));
        stream.LetWritesGo();
        writer.Close(finishLong: true);
        await running.WaitAsync(TestNode.Patience);

        Assert.That(Ids([.. stream.Writes.SelectMany(write => write)]), Is.EqualTo(new uint[] { 1, 3, 2, 1, 2, 1, 2 }));
    }

    [Test]
    public async Task LongMessage_Abandoned_SendsNoMoreChunks()
    {
        var writer = new BatchWriter(Lane.Bulk, new HybridClock(new ManualTime()));
        var stream = new GatedStream();
        writer.Append(1, Write(new byte[10 * LaneLimits.SentChunkBytes]));
        var running = writer.RunAsync(stream, sent: null, default);
        await stream.WaitForWriteAsync();
        writer.Abandon(1);
        stream.LetWritesGo();
        writer.Close(finishLong: true);
        await running.WaitAsync(TestNode.Patience);

        var messages = Messages([.. stream.Writes.SelectMany(write => write)]);
        Assert.That(messages.Select(message => message.Kind), Is.EqualTo(new[] { MessageKind.Chunk, MessageKind.Abandon }));
        Assert.That(writer.IsFull, Is.False);
    }

    [TestCase(LaneLimits.SentChunkBytes - 1)]
    [TestCase(LaneLimits.SentChunkBytes)]
    [TestCase(LaneLimits.SentChunkBytes + 1)]
    [TestCase((3 * LaneLimits.SentChunkBytes) - 7)]
    public async Task LongMessage_OnTheBulkLane_ArrivesAsItWasMade(int valueBytes)
    {
        var writer = new BatchWriter(Lane.Bulk, new HybridClock(new ManualTime()));
        var value = new byte[valueBytes];
        new Random(1).NextBytes(value);
        writer.Append(1, Write(value));
        writer.Append(2, new ReadReply(ReadOutcome.Hit, Standing.Primary, 3, default, RemainingTime.Unlimited, value));
        writer.Append(3, new ReplicateRequest(new EntryRecord("key"u8.ToArray(), default, RemainingTime.Unlimited, EntryFlags.None, value), 7, false));
        writer.Close(finishLong: true);
        var stream = new MemoryStream();
        await writer.RunAsync(stream, sent: null, default).WaitAsync(TestNode.Patience);

        var messages = Assemble(stream.ToArray());
        Assert.That(((WriteRequest)DecodeRequest(messages[1])).Value.Span.SequenceEqual(value));
        var replicate = (ReplicateRequest)DecodeRequest(messages[3]);
        Assert.That(replicate.Entry.Value.Span.SequenceEqual(value));
        Assert.That(replicate.TableHash, Is.EqualTo(7));
        var reader = new MessagePackReader(messages[2]);
        var head = MessageHead.Read(ref reader);
        var reply = (ReadReply)MessageCodec.DecodeReply(head, ref reader, messages[2], new ReceiveBuffer(messages[2]))!;
        Assert.That(reply.Value.Span.SequenceEqual(value));
        Assert.That(reply.TableHash, Is.EqualTo(3));
    }

    [Test]
    public async Task LongReply_IsReleasedOnce_WhenItsLastChunkIsTaken()
    {
        var writer = new BatchWriter(Lane.Bulk, new HybridClock(new ManualTime()));
        var stream = new GatedStream();
        var loan = new CountedLoan();
        writer.Append(1, LongReply(loan));
        var running = writer.RunAsync(stream, sent: null, default);
        await stream.WaitForWriteAsync();
        Assert.That(loan.Returns, Is.Zero);

        stream.LetWritesGo();
        writer.Close(finishLong: true);
        await running.WaitAsync(TestNode.Patience);

        Assert.That(loan.Returns, Is.EqualTo(1));
        Assert.That(Ids([.. stream.Writes.SelectMany(write => write)]), Has.Length.EqualTo(3));
    }

    [Test]
    public async Task LongReply_IsReleasedOnce_WhenItIsAbandonedOrTheLaneIsOver([Values] bool isAbandoned)
    {
        var writer = new BatchWriter(Lane.Bulk, new HybridClock(new ManualTime()));
        var stream = new GatedStream();
        var loan = new CountedLoan();
        writer.Append(1, LongReply(loan));
        var running = writer.RunAsync(stream, sent: null, default);
        await stream.WaitForWriteAsync();

        if (isAbandoned)
        {
            writer.Abandon(1);
        }

        writer.Close(finishLong: false);
        Assert.That(loan.Returns, Is.EqualTo(1));
        stream.LetWritesGo();
        await running.WaitAsync(TestNode.Patience);
        Assert.That(loan.Returns, Is.EqualTo(1));
    }

    [Test]
    public void Message_LongerThanTheLane_LeavesNothingBehind()
    {
        var writer = new BatchWriter(Lane.Data, new HybridClock(new ManualTime()));

        Assert.That(writer.Append(1, Write(new byte[WireLimits.InlineMessageBytes])), Is.EqualTo(AppendOutcome.TooLong));
        Assert.That(writer.Append(2, Write(new byte[WireLimits.InlineMessageBytes - 100])), Is.EqualTo(AppendOutcome.Appended));
    }

    [Test]
    public void Writer_WithMoreThanAPeerShouldLeaveUnread_IsFull()
    {
        var writer = new BatchWriter(Lane.Bulk, new HybridClock(new ManualTime()));

        writer.Append(1, Write(new byte[WireLimits.UnsentReplyBytes]));

        Assert.That(writer.IsFull, Is.True);
    }

    [Test]
    public void Writer_Closed_TakesNothing([Values(Lane.Data, Lane.Bulk)] Lane lane)
    {
        var writer = new BatchWriter(lane, new HybridClock(new ManualTime()));
        writer.Close(finishLong: true);

        Assert.That(writer.Append(1, TestNode.Read("key")), Is.EqualTo(AppendOutcome.Closed));
    }

    /// <summary>
    /// What the client does: 1 it takes a write, and there is no room in the peer's window; 2 it does the flush, with nothing to send; 3 room comes, it copies the
    /// write, 4 and both are done when the writer looks again.
    /// </summary>
    [TestCase(true, 2)]
    [TestCase(false, 1)]
    public async Task Batch_CopiedAfterItsFlush_IsFlushedAgain(bool isLate, int expectedFlushes)
    {
        var writer = new BatchWriter(Lane.Data, new HybridClock(new ManualTime()));
        var sent = new SentWatch();
        var stream = new WindowedStream(sent) { HasRoom = !isLate };
        writer.Append(1, TestNode.Read("key"));
        writer.Close(finishLong: true);

        await writer.RunAsync(stream, sent, default).WaitAsync(TestNode.Patience);

        Assert.That(stream.Flushes, Is.EqualTo(expectedFlushes));
        Assert.That(Ids([.. stream.Sent]), Is.EqualTo(new uint[] { 1 }), "it stays in the client until somebody flushes");
    }

    private static WriteRequest Write(byte[] value) => new(default, false, default, default, value, WriteAck.All, 0, false);

    private static ReadReply LongReply(IDisposable loan) =>
        new(ReadOutcome.Hit, Standing.Primary, 0, default, RemainingTime.Unlimited, new byte[(3 * LaneLimits.SentChunkBytes) - 100]) { Loan = loan };

    private static PeerRequest DecodeRequest(byte[] message)
    {
        var reader = new MessagePackReader(message);
        var head = MessageHead.Read(ref reader);
        return MessageCodec.DecodeRequest(head, ref reader)!;
    }

    /// <summary>By their ids.</summary>
    private static Dictionary<uint, byte[]> Assemble(byte[] bytes)
    {
        var (whole, chunks) = (new Dictionary<uint, byte[]>(), new ChunkAssembly());
        using var frames = new FrameReader(new MemoryStream(bytes), 2 << 20);
        while (frames.ReadAsync(default).AsTask().GetAwaiter().GetResult() is { } message)
        {
            var reader = new MessagePackReader(message);
            var head = MessageHead.Read(ref reader);
            if (head.Kind != MessageKind.Chunk)
            {
                whole.Add(head.Id, message.ToArray());
                continue;
            }

            var chunk = ControlCodec.ReadChunk(head, ref reader);
            if (chunks.Add(head.Id, chunk) is { } buffer)
            {
                whole.Add(head.Id, buffer.Bytes[..chunk.WholeBytes]);
            }
        }

        return whole;
    }

    private static uint[] Ids(byte[] bytes) => [.. Messages(bytes).Select(message => message.Id)];

    private static List<MessageHead> Messages(byte[] bytes)
    {
        using var reader = new FrameReader(new MemoryStream(bytes), 2 << 20);
        var heads = new List<MessageHead>();
        while (reader.ReadAsync(default).AsTask().GetAwaiter().GetResult() is { } message)
        {
            var fields = new MessagePackReader(message);
            heads.Add(MessageHead.Read(ref fields));
        }

        return heads;
    }

    private sealed class CountedLoan : IDisposable
    {
        public int Returns { get; private set; }

        public void Dispose() => Returns++;
    }

    /// <summary>Holds its first write back until a test lets it go.</summary>
    private sealed class GatedStream : MemoryStream
    {
        private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _gate = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public List<byte[]> Writes { get; } = [];

        public Task WaitForWriteAsync() => _begun.Task.WaitAsync(TestNode.Patience);

        public void LetWritesGo() => _gate.SetResult();

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            Writes.Add(buffer.ToArray());
            _begun.TrySetResult();
            await _gate.Task;
        }
    }

    /// <summary>The framework's HTTP/2 client, with everything in the order that the test wants.</summary>
    private sealed class WindowedStream(SentWatch sent) : MemoryStream
    {
        private readonly List<byte> _copied = [];
        private readonly TaskCompletionSource _written = new();
        private ReadOnlyMemory<byte> _waiting;

        public bool HasRoom { get; init; }

        public int Flushes { get; private set; }

        public List<byte> Sent { get; } = [];

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            _waiting = buffer;
            if (HasRoom)
            {
                Copy();
            }

            return new ValueTask(_written.Task);
        }

        public override Task FlushAsync(CancellationToken cancellationToken)
        {
            Flushes++;
            if (_copied.Count > 0)
            {
                sent.NoteWrite();
                Sent.AddRange(_copied);
                _copied.Clear();
            }

            if (!_waiting.IsEmpty)
            {
                Copy();
            }

            return Task.CompletedTask;
        }

        private void Copy()
        {
            _copied.AddRange(_waiting.Span);
            _waiting = default;
            _written.TrySetResult();
        }
    }
}
