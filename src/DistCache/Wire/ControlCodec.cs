using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>The messages that concern the lane itself; docs/wire-protocol.md has their table.</summary>
internal static class ControlCodec
{
    /// <summary>Reasons are for logs: ours are short, a longer one is cut.</summary>
    private const int MaximumReasonLength = WireLimits.ReasonBytes / 4;

    /// <summary>[fault, reason]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, PeerFault fault)
    {
        new MessageHead(MessageKind.Fault, id, clock, 2).Write(writer);
        writer.Write((ulong)fault.Kind);
        writer.WriteString(fault.Reason.Length <= MaximumReasonLength ? fault.Reason : fault.Reason[..MaximumReasonLength]);
    }

    public static PeerFault ReadFault(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(2);
        var fault = new PeerFault((FaultKind)reader.ReadUpTo((ulong)FaultKind.NotListening), ForeignText.Clean(reader.ReadString(WireLimits.ReasonBytes)));
        reader.Finish(extra);
        return fault;
    }

    public static DoneReply ReadDone(MessageHead head, ref MessagePackReader reader)
    {
        reader.Finish(head.Fields);
        return DoneReply.Instance;
    }

    /// <summary>[]</summary>
    public static void WriteEmpty(in MessagePackWriter writer, MessageKind kind, uint id, ulong clock) =>
        new MessageHead(kind, id, clock, 0).Write(writer);

    /// <summary>[whole length, offset, part]; the part's bytes follow by another way.</summary>
    public static void WriteChunkHead(in MessagePackWriter writer, uint id, ulong clock, int wholeBytes, int offset, int partBytes)
    {
        new MessageHead(MessageKind.Chunk, id, clock, 3).Write(writer);
        writer.Write((long)wholeBytes);
        writer.Write((long)offset);
        writer.WriteBinaryHeader(partBytes);
    }

    public static Chunk ReadChunk(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(3);
        var chunk = new Chunk((int)reader.ReadUpTo(WireLimits.MaximumMessageBytes), reader.ReadInt32(), reader.ReadBinary(LaneLimits.ChunkBytes));
        reader.Finish(extra);
        return chunk;
    }

    /// <summary>[protocol, cluster, name, incarnation, nonce, lane, has a secret]</summary>
    public static void Write(in MessagePackWriter writer, Hello hello)
    {
        new MessageHead(MessageKind.Hello, 0, hello.Clock, 7).Write(writer);
        writer.Write((ulong)hello.Protocol);
        writer.WriteString(hello.Cluster);
        writer.WriteString(hello.Identity.Name.ToString());
        writer.Write(hello.Identity.Incarnation);
        writer.WriteBinary(hello.Nonce.Span);
        writer.Write((ulong)hello.Lane);
        writer.Write(hello.HasSecret);
    }

    /// <summary>The protocol is judged before the fields after it are read: another version may have others there.</summary>
    public static Hello ReadHello(ReadOnlyMemory<byte> message)
    {
        var reader = new MessagePackReader(message);
        var head = MessageHead.Read(ref reader);
        if (head.Kind != MessageKind.Hello)
        {
            throw RefusalException.Malformed($"The first message is of kind {(uint)head.Kind}, where Hello (1) is expected.");
        }

        head.FieldsAfter(1);
        var protocol = reader.ReadUInt32();
        if (protocol != WireLimits.ProtocolVersion)
        {
            throw new RefusalException(
                GrpcStatus.FailedPrecondition,
                "protocol",
                $"The protocol version {protocol}, where {WireLimits.ProtocolVersion} is spoken.");
        }

        var extra = head.FieldsAfter(7);
        var hello = new Hello(
            protocol,
            reader.ReadString(WireLimits.ClusterNameBytes),
            new NodeIdentity(ElementCodec.ReadNodeName(ref reader), reader.ReadInt64()),
            reader.ReadBinary(Hello.NonceBytes).ToArray(),
            head.Clock,
            (Lane)reader.ReadUpTo((ulong)Lane.Bulk),
            reader.ReadBoolean());
        reader.Finish(extra);
        return hello.Nonce.Length == Hello.NonceBytes
            ? hello
            : throw RefusalException.Malformed($"A nonce of {hello.Nonce.Length} bytes, where {Hello.NonceBytes} are expected.");
    }

    /// <summary>[mac]</summary>
    public static void WriteProof(in MessagePackWriter writer, ulong clock, ReadOnlySpan<byte> proof)
    {
        new MessageHead(MessageKind.Proof, 0, clock, 1).Write(writer);
        writer.WriteBinary(proof);
    }

    public static ReadOnlyMemory<byte> ReadProof(ReadOnlyMemory<byte> message)
    {
        var reader = new MessagePackReader(message);
        var head = MessageHead.Read(ref reader);
        if (head.Kind != MessageKind.Proof)
        {
            throw new RefusalException(
                GrpcStatus.Unauthenticated,
                "secret",
                $"A message of kind {(uint)head.Kind}, where the proof of the shared secret (3) is expected.");
        }

        var extra = head.FieldsAfter(1);
        var proof = reader.ReadBinary(Proof.Bytes);
        reader.Finish(extra);
        return proof;
    }
}
