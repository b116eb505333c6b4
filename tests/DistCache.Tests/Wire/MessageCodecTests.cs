using System.Collections;
using System.Reflection;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

internal sealed class MessageCodecTests
{
    private const uint Id = 70_000;
    private const ulong Clock = 0x1122_3344_5566_7788;

    [TestCaseSource(typeof(SampleMessages), nameof(SampleMessages.Requests))]
    public void Request_EncodedAndDecoded_IsTheSame(PeerRequest request)
    {
        var decoded = DecodeRequest(Encode(request), out var head);

        Assert.That((head.Id, head.Clock), Is.EqualTo((Id, Clock)));
        Assert.That(Describe(decoded), Is.EqualTo(Describe(request)));
    }

    [TestCaseSource(typeof(SampleMessages), nameof(SampleMessages.Replies))]
    public void Reply_EncodedAndDecoded_IsTheSame(PeerReply reply)
    {
        var decoded = DecodeReply(Encode(reply), out var head);

        Assert.That((head.Id, head.Clock), Is.EqualTo((Id, Clock)));
        Assert.That(Describe(decoded), Is.EqualTo(Describe(reply)));
    }

    [Test]
    public void Samples_AgainstTheRecordsOfPeers_LeaveNoneOut()
    {
        var all = typeof(PeerRequest).Assembly.GetTypes()
            .Where(type => !type.IsAbstract && (type.IsSubclassOf(typeof(PeerRequest)) || type.IsSubclassOf(typeof(PeerReply))));
        var sampled = SampleMessages.Requests().Select(request => request.GetType())
            .Concat(SampleMessages.Replies().Select(reply => reply.GetType()))
            .Distinct();

        Assert.That(sampled, Is.EquivalentTo(all));
    }

    [Test]
    public void ReplyKind_OfEachRequest_IsOneThatDecodes() =>
        Assert.That(
            SampleMessages.Requests().Select(request => MessageCodec.IsReply(MessageCodec.ReplyKindOf(request))), Has.All.True);

    [TestCaseSource(nameof(SmallMessages))]
    public void Message_CutAnywhere_IsMalformed(byte[] message, bool isRequest)
    {
        for (var length = 0; length < message.Length; length++)
        {
            var cut = message[..length];
            Assert.That(
                () => Decode(cut, isRequest), Throws.TypeOf<RefusalException>().With.Property("Status").EqualTo(GrpcStatus.InvalidArgument), $"at {length}");
        }
    }

    [TestCaseSource(nameof(SmallMessages))]
    public void Message_WithFieldsOfANewerVersion_IsReadWithoutThem(byte[] message, bool isRequest)
    {
        var reader = new MessagePackReader(message);
        var fields = reader.ReadArrayHeader();
        var buffer = new MessageBuffer();
        new MessagePackWriter(buffer).WriteArrayHeader(fields + 2);
        buffer.Append(message.AsSpan(message.Length - reader.Remaining));

        // [1, {"a": 2.5}] and an extension
        buffer.Append([0x92, 0x01, 0x81, 0xA1, 0x61, 0xCB, 0x40, 0x04, 0, 0, 0, 0, 0, 0, 0xD4, 0x05, 0x07]);

        Assert.That(Describe(Decode(buffer.Written.ToArray(), isRequest)), Is.EqualTo(Describe(Decode(message, isRequest))));
    }

    /// <summary>Nodes from before it was told do not say how long they remember removals.</summary>
    [Test]
    public void HoldingsReply_WithoutALifetime_IsRead()
    {
        var reply = new HoldingsReply(1, new SlotSet(), [], IsWhole: true);
        var message = Encode(reply);
        message[0]--;

        Assert.That(Describe(DecodeReply(message[..^1], out _)), Is.EqualTo(Describe(reply)));
    }

    /// <summary>More than a duration can be would end the reading of it, and with it an import, in another way than a refusal.</summary>
    [Test]
    public void HoldingsReply_WithAnAbsenceOfAges_IsMalformed()
    {
        var reply = new HoldingsReply(1, new SlotSet(), [new Absence(SampleMessages.Identity, long.MaxValue)], IsWhole: true, TimeSpan.FromHours(1));
        Assert.That(() => DecodeReply(Encode(reply), out _), Throws.TypeOf<RefusalException>());
    }

    [TestCaseSource(nameof(SmallMessages))]
    public void Message_WithBytesBehindIt_IsMalformed(byte[] message, bool isRequest) =>
        Assert.That(() => Decode([.. message, 0], isRequest), Throws.TypeOf<RefusalException>());

    [Test]
    public void Message_WithRandomChanges_IsReadOrRefused([Values(1, 2, 3)] int seed)
    {
        TestContext.Out.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var samples = SmallMessages().Select(data => ((byte[])data.Arguments[0]!, (bool)data.Arguments[1]!)).ToArray();
        for (var i = 0; i < 20_000; i++)
        {
            var (sample, isRequest) = samples[random.Next(samples.Length)];
            var changed = Mutate(sample, random);
            try
            {
                Decode(changed, isRequest);
            }
            catch (RefusalException refusal)
            {
                Assert.That(refusal.Status, Is.EqualTo(GrpcStatus.InvalidArgument));
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {seed}, input {i}, {Convert.ToHexString(changed)}: {exception}");
            }
        }
    }

    // What stands here has been written down in docs/wire-protocol.md: a change breaks nodes of another release.
    [TestCase("98 10 CE00011170 CF1122334455667788 C4036B6579 CFFFFFFFFFFFFFFFFF C3 C3 C3", 0, true)]
    [TestCase(
        "9B 12 CE00011170 CF1122334455667788 C4036B6579 C3 92CF0123456789ABCDEFCEFEDCBA98 93CDEA60CD138811 C40576616C7565 02 CFFFFFFFFFFFFFFFFF C3", 2, true)]
    [TestCase(
        "96 14 CE00011170 CF1122334455667788 95C4036B657992CF0123456789ABCDEFCEFEDCBA9893CDEA60CD13881101C40576616C7565 CFFFFFFFFFFFFFFFFF C3",
        4,
        true)]
    [TestCase(
        "95 20 CE00011170 CF1122334455667788 92A76E6F64652DC3A4CF0000019AB697E87B 919992A76E6F64652DC3A4CF0000019AB697E87B"
        + "030192AB323030313A6462383A3A31CD1DB0A67A6F6E652D3102A761636375736572CD05DCCD07D0",
        7,
        true)]
    [TestCase(
        "9A 11 CE00011170 CF1122334455667788 01 03 CFFFFFFFFFFFFFFFFF 92CF0123456789ABCDEFCEFEDCBA98 93CDEA60CD138811 C40576616C7565 90", 0, false)]
    [TestCase("93 17 CE00011170 CF1122334455667788", 4, false)]
    [TestCase("95 09 CE00011170 CF1122334455667788 05 A8576879206E6F742E", 5, false)]
    public void Message_Encoded_HasTheBytesOfTheProtocol(string bytes, int index, bool isRequest)
    {
        var encoded = isRequest
            ? Encode(SampleMessages.Requests().ElementAt(index))
            : Encode(SampleMessages.Replies().ElementAt(index));

        Assert.That(Convert.ToHexString(encoded), Is.EqualTo(bytes.Replace(" ", "", StringComparison.Ordinal)));
    }

    [Test]
    public void Member_FromBeforeItsWaitWasTold_IsRead()
    {
        const string Earlier = "9424CE00011170CF1122334455667788919892A76E6F64652DC3A4CF0000019AB697E87B030192AB323030313A6462383A3A31CD1DB0A67A6F6E652D3102A761636375736572CD05DC";

        var gossip = (GossipRequest)Decode(Convert.FromHexString(Earlier), isRequest: true)!;

        Assert.That(gossip.Rumours, Is.EqualTo(new[] { SampleMessages.Member with { WaitedMilliseconds = 0 } }));
    }

    [Test]
    public void Key_LongerThanTheLimit_IsMalformed()
    {
        var message = Encode(new ReadRequest(new byte[EntryKey.MaximumBytes + 1], 0, false, false, false));

        Assert.That(() => Decode(message, isRequest: true), Throws.TypeOf<RefusalException>());
    }

    [Test]
    public void Members_MoreThanTheLimit_AreMalformed()
    {
        var atLimit = Encode(new GossipRequest([.. Enumerable.Repeat(SampleMessages.Member, WireLimits.MemberRecords)]));
        var beyond = Encode(new GossipRequest([.. Enumerable.Repeat(SampleMessages.Member, WireLimits.MemberRecords + 1)]));

        Assert.That(((GossipRequest)Decode(atLimit, isRequest: true)!).Rumours, Has.Count.EqualTo(WireLimits.MemberRecords));
        Assert.That(() => Decode(beyond, isRequest: true), Throws.TypeOf<RefusalException>());
    }

    [Test]
    public void Request_OfAnUnknownKind_IsNull() =>
        Assert.That(DecodeRequest([0x94, 0xCD, 0xFF, 0xFE, 0x01, 0x02, 0x03], out _), Is.Null);

    private static IEnumerable<TestCaseData> SmallMessages()
    {
        foreach (var request in SampleMessages.Requests().Select(request => (Encode(request), request)).Where(pair => pair.Item1.Length < 3_000))
        {
            yield return new TestCaseData(request.Item1, true).SetArgDisplayNames(request.request.GetType().Name);
        }

        foreach (var reply in SampleMessages.Replies().Select(reply => (Encode(reply), reply)))
        {
            yield return new TestCaseData(reply.Item1, false).SetArgDisplayNames(reply.reply.GetType().Name);
        }
    }

    private static byte[] Mutate(byte[] sample, Random random)
    {
        var changed = (byte[])sample.Clone();
        for (var changes = random.Next(1, 4); changes > 0; changes--)
        {
            changed[random.Next(changed.Length)] = random.Next(3) switch
            {
                0 => (byte)random.Next(256),
                1 => (byte)(0xC0 + random.Next(0x20)),
                _ => 0xFF,
            };
        }

        return random.Next(4) == 0 ? changed[..random.Next(changed.Length)] : changed;
    }

    private static byte[] Encode(PeerRequest request)
    {
        var buffer = new MessageBuffer();
        MessageCodec.Encode(buffer, Id, Clock, request);
        return buffer.Written.ToArray();
    }

    private static byte[] Encode(PeerReply reply)
    {
        var buffer = new MessageBuffer();
        MessageCodec.Encode(buffer, Id, Clock, reply);
        return buffer.Written.ToArray();
    }

    private static object? Decode(byte[] message, bool isRequest) =>
        isRequest ? DecodeRequest(message, out _) : DecodeReply(message, out _);

    private static PeerRequest? DecodeRequest(byte[] message, out MessageHead head)
    {
        var reader = new MessagePackReader(message);
        head = MessageHead.Read(ref reader);
        return MessageCodec.DecodeRequest(head, ref reader);
    }

    private static PeerReply? DecodeReply(byte[] message, out MessageHead head)
    {
        var reader = new MessagePackReader(message);
        head = MessageHead.Read(ref reader);
        return MessageCodec.DecodeReply(head, ref reader, message, new ReceiveBuffer(message));
    }

    /// <summary>All properties, lists and bytes by their content: records compare those by reference.</summary>
    private static string Describe(object? value) => value switch
    {
        null => "null",
        string or Enum or NodeName => $"{value}",
        ReadOnlyMemory<byte> bytes => Convert.ToHexString(bytes.Span),
        SlotSet slots => DescribeSlots(slots),
        IEnumerable list => $"[{string.Join(", ", list.Cast<object>().Select(Describe))}]",
        _ when value.GetType().IsPrimitive => $"{value}",
        _ => $"{value.GetType().Name} {{{string.Join(", ", DescribeProperties(value))}}}",
    };

    private static IEnumerable<string> DescribeProperties(object value) =>
        value.GetType().GetProperties(BindingFlags.Instance | BindingFlags.Public)
            .Where(property => property.Name is not nameof(ReadReply.Rented) and not nameof(PeerReply.Loan))
            .Select(property => $"{property.Name}: {Describe(property.GetValue(value))}");

    private static string DescribeSlots(SlotSet slots)
    {
        var numbers = new List<int>();
        foreach (var slot in slots)
        {
            numbers.Add(slot.Number);
        }

        return string.Join(", ", numbers);
    }
}
