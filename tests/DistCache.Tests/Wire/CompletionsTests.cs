using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

[CancelAfter(Patience.Milliseconds)]
internal sealed class CompletionsTests
{
    private readonly Completions _completions = new();

    /// <summary>The first caller blocks until all others have gone on: somebody else must let them.</summary>
    [Test]
    public async Task Drain_WithACallerThatBlocks_LetsTheOthersGoOn(CancellationToken token)
    {
        using var others = new CountdownEvent(20);
        var blocked = new TaskCompletionSource<bool>();
        _completions.Add(new Caller(() => blocked.SetResult(others.Wait(Patience.Time, token))));
        for (var i = 0; i < 20; i++)
        {
            _completions.Add(new Caller(() => others.Signal()));
        }

        await Task.Run(_completions.Drain, token).WaitAsync(token);

        Assert.That(await blocked.Task, Is.True);
    }

    [Test]
    public async Task Schedule_WithNobodyDraining_LetsCallersGoOnInThePool(CancellationToken token)
    {
        var wentOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _completions.Add(new Caller(wentOn.SetResult));

        _completions.Schedule();

        await wentOn.Task.WaitAsync(token);
    }

    [Test]
    public void Wake_WhileRequestsAreHandled_IsPutOffUntilAllAre()
    {
        var (first, written) = StartWriter();
        var (second, alsoWritten) = StartWriter();
        Completions.BeginHandling();
        for (var id = 1u; id <= 10; id++)
        {
            first.Append(id, TestNode.Read("key"));
            _completions.Wake(first);
            second.Append(id, TestNode.Read("key"));
            _completions.Wake(second);
        }

        Assert.That(written.Length + alsoWritten.Length, Is.Zero);
        _completions.EndHandling();
        Assert.That(written.Length, Is.Positive.And.EqualTo(alsoWritten.Length));
        var before = written.Length;
        first.Append(11, TestNode.Read("key"));
        _completions.Wake(first);
        Assert.That(written.Length, Is.GreaterThan(before), "after that at once");
    }

    /// <summary>A call drained last has no helper behind it, so what it sends goes out before it may block.</summary>
    [Test]
    public void Wake_ByTheLastCallDrained_IsAtOnce()
    {
        var (writer, written) = StartWriter();
        var length = 0L;
        _completions.Add(new Caller(() =>
        {
            writer.Append(1, TestNode.Read("key"));
            _completions.Wake(writer);
            length = written.Length;
        }));

        _completions.Drain();

        Assert.That(length, Is.Positive);
    }

    /// <summary>Several writers in the list of those put off, pushed and taken out by several threads: none may be forgotten there.</summary>
    [Test]
    public void Wake_OfManyWritersByManyThreads_SendsEverything()
    {
        const int Threads = 4;
        const int Batches = 400_000;
        var streams = Enumerable.Range(0, 5).Select(_ => new CountingStream()).ToArray();
        var writers = streams.Select(StartWriter).ToArray();
        var appended = new long[writers.Length];
        writers[0].Append(MessageKind.AskOnBulk, 1);
        writers[0].Wake();
        var messageBytes = streams[0].Written;
        appended[0] = 1;

        Parallel.For(0, Threads, new ParallelOptions { MaxDegreeOfParallelism = Threads }, thread =>
        {
            var random = new Random(thread);
            for (var batch = 0; batch < Batches; batch++)
            {
                Completions.BeginHandling();
                for (var i = random.Next(1, 4); i > 0; i--)
                {
                    var index = random.Next(writers.Length);
                    Interlocked.Increment(ref appended[index]);
                    writers[index].Append(MessageKind.AskOnBulk, 1);
                    _completions.Wake(writers[index]);
                }

                _completions.EndHandling();
            }
        });

        // A loop that is woken at the moment in which it lies down goes on in the pool.
        var expected = appended.Select(count => count * messageBytes).ToArray();
        SpinWait.SpinUntil(() => streams.Select(stream => stream.Written).SequenceEqual(expected), TestNode.Patience);
        Assert.That(streams.Select(stream => stream.Written), Is.EqualTo(expected));
    }

    private static (BatchWriter Writer, MemoryStream Written) StartWriter()
    {
        var stream = new MemoryStream();
        return (StartWriter(stream), stream);
    }

    private static BatchWriter StartWriter(Stream stream)
    {
        var writer = new BatchWriter(Lane.Data, new HybridClock(new ManualTime()));
        _ = writer.RunAsync(stream, sent: null, default);
        return writer;
    }

    private sealed class CountingStream : MemoryStream
    {
        private long _written;

        public long Written => Volatile.Read(ref _written);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            Volatile.Write(ref _written, _written + buffer.Length);
            return default;
        }
    }

    private sealed class Caller(Action goOn) : PeerCall
    {
        public override PeerRequest Request => TestNode.Read("key");

        protected override void OnEnded(PeerReply? reply, Exception? error) => goOn();
    }
}
