using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>
/// Spoiled messages are read or refused as malformed: no other exception, and no more memory than the message can pay for.
/// DISTCACHE_FUZZ_INPUTS=1000000 for the long run, DISTCACHE_SEED=n to repeat one.
/// </summary>
internal sealed class CodecFuzzTests
{
    /// <summary>Any array takes a byte for each of its elements at least; the largest element in memory is the record of a member.</summary>
    private const int MostBytesForAByte = 200;

    private const int MostBytesBeside = 16 << 10;

    [Test]
    public void Request_ThatIsSpoiled_IsReadOrRefused() =>
        Fuzz(MessageFuzzer.Requests(), message =>
        {
            var reader = new MessagePackReader(message);
            var head = MessageHead.Read(ref reader);
            if (MessageCodec.DecodeRequest(head, ref reader) is not { } request)
            {
                return null;
            }

            return () => MessageFuzzer.Encode(request);
        });

    [Test]
    public void Reply_ThatIsSpoiled_IsReadOrRefused() =>
        Fuzz([.. SampleMessages.Replies().Select(MessageFuzzer.Encode)], message =>
        {
            var reader = new MessagePackReader(message);
            var head = MessageHead.Read(ref reader);
            if (MessageCodec.DecodeReply(head, ref reader, message, new ReceiveBuffer(message)) is not { } reply)
            {
                return null;
            }

            return () =>
            {
                var encoded = MessageFuzzer.Encode(reply);
                reply.Release();
                return encoded;
            };
        });

    [Test]
    public void Greeting_ThatIsSpoiled_IsReadOrRefused()
    {
        var proof = new MessageBuffer();
        ControlCodec.WriteProof(new MessagePackWriter(proof), 1, new byte[Proof.Bytes]);
        var hello = new MessageBuffer();
        ControlCodec.Write(new MessagePackWriter(hello), RawLane.Hello());
        Fuzz([hello.Written.ToArray(), proof.Written.ToArray()], message =>
        {
            if (message.Length >= hello.Length / 2)
            {
                ControlCodec.ReadHello(message);
            }
            else
            {
                ControlCodec.ReadProof(message);
            }

            return null;
        });
    }

    /// <summary>Chunks of many ids in any order: what is held never exceeds what may be announced.</summary>
    [Test]
    public void Chunks_OfAnyKindAndOrder_AreAssembledOrRefused()
    {
        var fuzzer = new MessageFuzzer(MessageFuzzer.NewSeed());
        TestContext.Out.WriteLine($"seed {fuzzer.Seed}");
        var chunks = new ChunkAssembly();
        var part = new byte[4_096];
        for (var i = 0; i < MessageFuzzer.Inputs(20_000); i++)
        {
            try
            {
                var id = (uint)fuzzer.Next(8);
                if (fuzzer.Next(20) == 0)
                {
                    chunks.Abandon(id);
                }

                var whole = fuzzer.Pick([1, 4_096, 8_192, 12_288, 0, 1 << 20]);
                chunks.Add(id, new Chunk(whole, fuzzer.Pick([0, 4_096, 8_192, whole, int.MaxValue]), part.AsMemory(0, fuzzer.Pick([0, 1, 4_096]))));
            }
            catch (RefusalException)
            {
                // A lane would be over: another one.
                chunks = new ChunkAssembly();
            }
        }
    }

    [Test]
    public void Chunks_OfMixedMessages_GiveEachItsBytes()
    {
        var fuzzer = new MessageFuzzer(MessageFuzzer.NewSeed());
        TestContext.Out.WriteLine($"seed {fuzzer.Seed}");
        var chunks = new ChunkAssembly();
        var (messages, sent) = (new byte[4][], new int[4]);
        for (var (steps, whole) = (0, 0); whole < 200; steps++)
        {
            Assert.That(steps, Is.LessThan(200_000));
            var id = fuzzer.Next(messages.Length);
            if (messages[id] is null || fuzzer.Next(50) == 0)
            {
                chunks.Abandon((uint)id);
                messages[id] = Enumerable.Repeat((byte)fuzzer.Next(256), 1 + fuzzer.Next(200_000)).ToArray();
                sent[id] = 0;
            }

            var part = Math.Min(1 + fuzzer.Next(20_000), messages[id].Length - sent[id]);
            messages[id][sent[id]] = (byte)fuzzer.Next(256);
            var done = chunks.Add((uint)id, new Chunk(messages[id].Length, sent[id], messages[id].AsMemory(sent[id], part)));
            sent[id] += part;
            Assert.That(done is not null, Is.EqualTo(sent[id] == messages[id].Length));
            if (done is { } message)
            {
                Assert.That(message.Bytes.AsSpan(0, messages[id].Length).SequenceEqual(messages[id]), $"seed {fuzzer.Seed}, step {steps}");
                messages[id] = null!;
                whole++;
            }
        }
    }

    /// <param name="samples">Good ones.</param>
    /// <param name="decode">Reads one, and gives how to write it again if it is a message.</param>
    private static void Fuzz(List<byte[]> samples, Func<byte[], Func<byte[]>?> decode)
    {
        var fuzzer = new MessageFuzzer(MessageFuzzer.NewSeed());
        var (read, refused, inputs) = (0, 0, MessageFuzzer.Inputs(60_000));
        for (var i = 0; i < inputs; i++)
        {
            var message = fuzzer.Spoil(samples);
            string Which() => $"seed {fuzzer.Seed}, input {i}, {Convert.ToHexString(message)}";
            var before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                var encode = decode(message);
                read++;
                if (encode is not null && decode(encode()) is null)
                {
                    Assert.Fail($"what was read cannot be read again: {Which()}");
                }
            }
            catch (RefusalException refusal) when (refusal.Status != GrpcStatus.ResourceExhausted)
            {
                refused++;
            }
            catch (Exception exception) when (exception is not AssertionException)
            {
                Assert.Fail($"{Which()}: {exception}");
            }

            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (allocated > MostBytesBeside + ((long)message.Length * MostBytesForAByte))
            {
                Assert.Fail($"{allocated} bytes were allocated: {Which()}");
            }
        }

        TestContext.Out.WriteLine($"seed {fuzzer.Seed}: {inputs} inputs, {read} read, {refused} refused");
        Assert.That(refused, Is.GreaterThan(inputs / 10), "the fuzzer spoils nothing");
        Assert.That(read, Is.GreaterThan(inputs / 100), "nothing gets past the first check");
    }
}
