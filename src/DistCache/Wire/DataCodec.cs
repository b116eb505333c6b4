using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>The messages about entries; docs/wire-protocol.md has their table.</summary>
internal static class DataCodec
{
    private const int SmallestRenewalBytes = 7;

    /// <summary>[key, table, renew, with value, as holder]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, ReadRequest request)
    {
        new MessageHead(MessageKind.Read, id, clock, 5).Write(writer);
        writer.WriteBinary(request.Key.Span);
        writer.Write(request.TableHash);
        writer.Write(request.Renew);
        writer.Write(request.WithValue);
        writer.Write(request.AsHolder);
    }

    public static ReadRequest ReadRead(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(5);
        var request = new ReadRequest(
            ElementCodec.ReadKey(ref reader), reader.ReadUInt64(), reader.ReadBoolean(), reader.ReadBoolean(), reader.ReadBoolean());
        reader.Finish(extra);
        return request;
    }

    /// <summary>The same without an object: what is given refers to the message.</summary>
    public static ReadQuestion ReadQuestion(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(5);
        var key = ElementCodec.ReadKey(ref reader).Span;
        reader.ReadUInt64();
        var question = new ReadQuestion(key, reader.ReadBoolean(), reader.ReadBoolean(), reader.ReadBoolean());
        reader.Finish(extra);
        return question;
    }

    public static void Write(in MessagePackWriter writer, uint id, ulong clock, ReadReply reply) => Write(
        writer,
        id,
        clock,
        new ReadHead(reply.Outcome, reply.Standing, reply.TableHash, reply.Version, reply.Remaining, reply.Value.Length, reply.Holders),
        reply.Value.Span);

    /// <summary>[outcome, standing, table, version, remaining, value, holders]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, in ReadHead reply, ReadOnlySpan<byte> value)
    {
        new MessageHead(MessageKind.ReadReply, id, clock, 7).Write(writer);
        writer.Write((ulong)reply.Outcome);
        writer.Write((ulong)reply.Standing);
        writer.Write(reply.TableHash);
        ElementCodec.Write(writer, reply.Version);
        ElementCodec.Write(writer, reply.Remaining);
        writer.WriteBinary(value);
        writer.WriteArrayHeader(reply.Holders.Count);
        foreach (var holder in reply.Holders)
        {
            ElementCodec.Write(writer, holder);
        }
    }

    /// <summary>The value stays where it is, on loan.</summary>
    public static ReadReply ReadReadReply(MessageHead head, ref MessagePackReader reader, ReceiveBuffer lender)
    {
        var extra = head.FieldsAfter(7);
        var outcome = (ReadOutcome)reader.ReadUpTo((ulong)ReadOutcome.NotMine);
        var standing = (Standing)reader.ReadUpTo((ulong)Standing.Primary);
        var table = reader.ReadUInt64();
        var version = ElementCodec.ReadVersion(ref reader);
        var remaining = ElementCodec.ReadRemaining(ref reader);
        var value = ElementCodec.ReadValue(ref reader);
        var holders = ReadHolders(ref reader);
        reader.Finish(extra);
        return new ReadReply(outcome, standing, table, version, remaining, value) { Loan = value.IsEmpty ? null : lender.Lend(), Holders = holders };
    }

    private static IReadOnlyList<PeerAddress> ReadHolders(ref MessagePackReader reader)
    {
        var count = reader.ReadArrayHeader();
        if (count > WireLimits.MemberRecords)
        {
            throw RefusalException.Malformed($"A list of {count} holders, where at most {WireLimits.MemberRecords} are allowed.");
        }

        var holders = count == 0 ? [] : new PeerAddress[count];
        for (var i = 0; i < count; i++)
        {
            holders[i] = ElementCodec.ReadAddress(ref reader);
        }

        return holders;
    }

    /// <summary>[key, remove, remaining, value, acknowledgement, table, passed over]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, WriteRequest request)
    {
        new MessageHead(MessageKind.Write, id, clock, 8).Write(writer);
        writer.WriteBinary(request.Key.Span);
        writer.Write(request.Remove);
        ElementCodec.Write(writer, request.Version);
        ElementCodec.Write(writer, request.Remaining);
        writer.WriteBinary(request.Value.Span);
        writer.Write((ulong)request.Ack);
        writer.Write(request.TableHash);
        writer.Write(request.PassedOver);
    }

    public static WriteRequest ReadWrite(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(8);
        var request = new WriteRequest(
            ElementCodec.ReadKey(ref reader),
            reader.ReadBoolean(),
            ElementCodec.ReadVersion(ref reader),
            ElementCodec.ReadRemaining(ref reader),
            ElementCodec.ReadValue(ref reader),
            (WriteAck)reader.ReadUpTo((ulong)WriteAck.All),
            reader.ReadUInt64(),
            reader.ReadBoolean());
        reader.Finish(extra);
        return request;
    }

    /// <summary>[outcome, table, needed copies, copies]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, WriteReply reply)
    {
        new MessageHead(MessageKind.WriteReply, id, clock, 4).Write(writer);
        writer.Write((ulong)reply.Outcome);
        writer.Write(reply.TableHash);
        writer.Write((long)reply.NeededCopies);
        writer.Write((long)reply.Copies);
    }

    public static WriteReply ReadWriteReply(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(4);
        var reply = new WriteReply(
            (WriteOutcome)reader.ReadUpTo((ulong)WriteOutcome.TooFewMembers), reader.ReadUInt64(), reader.ReadInt32(), reader.ReadInt32());
        reader.Finish(extra);
        return reply;
    }

    /// <summary>[entry, table, stand-in]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, ReplicateRequest request)
    {
        new MessageHead(MessageKind.Replicate, id, clock, 3).Write(writer);
        ElementCodec.Write(writer, request.Entry);
        writer.Write(request.TableHash);
        writer.Write(request.StandIn);
    }

    public static ReplicateRequest ReadReplicate(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(3);
        var request = new ReplicateRequest(ElementCodec.ReadEntry(ref reader), reader.ReadUInt64(), reader.ReadBoolean());
        reader.Finish(extra);
        return request;
    }

    /// <summary>[outcome, held version, table]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, ReplicateReply reply)
    {
        new MessageHead(MessageKind.ReplicateReply, id, clock, 3).Write(writer);
        writer.Write((ulong)reply.Outcome);
        ElementCodec.Write(writer, reply.Held);
        writer.Write(reply.TableHash);
    }

    public static ReplicateReply ReadReplicateReply(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(3);
        var reply = new ReplicateReply(
            (ReplicateOutcome)reader.ReadUpTo((ulong)ReplicateOutcome.Refused), ElementCodec.ReadVersion(ref reader), reader.ReadUInt64());
        reader.Finish(extra);
        return reply;
    }

    /// <summary>[[[key, version, idle], …]]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, TouchRequest request)
    {
        new MessageHead(MessageKind.Touch, id, clock, 1).Write(writer);
        writer.WriteArrayHeader(request.Renewals.Count);
        foreach (var renewal in request.Renewals)
        {
            writer.WriteArrayHeader(3);
            writer.WriteBinary(renewal.Key.Span);
            ElementCodec.Write(writer, renewal.Version);
            writer.Write(renewal.Idle);
        }
    }

    public static TouchRequest ReadTouch(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(1);
        var count = reader.ReadArrayHeader();
        var renewals = new List<Renewal>(Math.Min(count, reader.Remaining / SmallestRenewalBytes));
        for (var i = 0; i < count; i++)
        {
            var extraOfRenewal = reader.ReadFields(3);
            renewals.Add(new Renewal(ElementCodec.ReadKey(ref reader), ElementCodec.ReadVersion(ref reader), reader.ReadInt64()));
            reader.Skip(extraOfRenewal);
        }

        reader.Finish(extra);
        return new TouchRequest(renewals);
    }
}
