using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>The messages about members; docs/wire-protocol.md has their table.</summary>
internal static class MembershipCodec
{
    private const int MemberFields = 9;
    private const int MaximumZoneBytes = MemberRecord.MaximumZoneLength * 4;

    /// <summary>[target, members]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, ProbeRequest request)
    {
        new MessageHead(MessageKind.Probe, id, clock, 2).Write(writer);
        ElementCodec.Write(writer, request.Target);
        Write(writer, request.Rumours);
    }

    public static ProbeRequest ReadProbe(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(2);
        var request = new ProbeRequest(ElementCodec.ReadIdentity(ref reader), ReadMembers(ref reader));
        reader.Finish(extra);
        return request;
    }

    /// <summary>[members]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, MessageKind kind, IReadOnlyList<MemberRecord> members)
    {
        new MessageHead(kind, id, clock, 1).Write(writer);
        Write(writer, members);
    }

    /// <summary>A probe's reply, gossip, an exchange and its reply are nothing but members.</summary>
    public static List<MemberRecord> ReadMembersOnly(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(1);
        var members = ReadMembers(ref reader);
        reader.Finish(extra);
        return members;
    }

    /// <summary>[target, address, members]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, IndirectProbeRequest request)
    {
        new MessageHead(MessageKind.IndirectProbe, id, clock, 3).Write(writer);
        ElementCodec.Write(writer, request.Target);
        ElementCodec.Write(writer, request.Address);
        Write(writer, request.Rumours);
    }

    public static IndirectProbeRequest ReadIndirectProbe(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(3);
        var request = new IndirectProbeRequest(
            ElementCodec.ReadIdentity(ref reader), ElementCodec.ReadAddress(ref reader), ReadMembers(ref reader));
        reader.Finish(extra);
        return request;
    }

    /// <summary>[reached, refused, members]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, IndirectProbeReply reply)
    {
        new MessageHead(MessageKind.IndirectProbeReply, id, clock, 3).Write(writer);
        writer.Write(reply.Reached);
        writer.Write(reply.Refused);
        Write(writer, reply.Rumours);
    }

    public static IndirectProbeReply ReadIndirectProbeReply(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(3);
        var reply = new IndirectProbeReply(reader.ReadBoolean(), reader.ReadBoolean(), ReadMembers(ref reader));
        reader.Finish(extra);
        return reply;
    }

    /// <summary>[[identity, refutation, state, address, zone, replica count, accuser, unsettled ms, waited ms], …]</summary>
    private static void Write(in MessagePackWriter writer, IReadOnlyList<MemberRecord> members)
    {
        writer.WriteArrayHeader(members.Count);
        foreach (var member in members)
        {
            writer.WriteArrayHeader(MemberFields);
            ElementCodec.Write(writer, member.Identity);
            writer.Write((ulong)member.Refutation);
            writer.Write((ulong)member.State);
            ElementCodec.Write(writer, member.Address);
            writer.WriteString(member.Zone);
            writer.Write((long)member.ReplicaCount);
            writer.WriteString(member.Accuser.ToString());
            writer.Write((long)member.UnsettledMilliseconds);
            writer.Write((long)member.WaitedMilliseconds);
        }
    }

    private static List<MemberRecord> ReadMembers(ref MessagePackReader reader)
    {
        var count = reader.ReadArrayHeader();
        if (count > WireLimits.MemberRecords)
        {
            throw RefusalException.Malformed($"A list of {count} members, where at most {WireLimits.MemberRecords} are allowed.");
        }

        var members = new List<MemberRecord>(count);
        for (var i = 0; i < count; i++)
        {
            members.Add(ReadMember(ref reader));
        }

        return members;
    }

    private static MemberRecord ReadMember(ref MessagePackReader reader)
    {
        var extra = reader.ReadFields(MemberFields - 1);
        var member = new MemberRecord(
            ElementCodec.ReadIdentity(ref reader),
            reader.ReadUInt32(),
            (MemberState)reader.ReadUpTo((ulong)MemberState.Left),
            ElementCodec.ReadAddress(ref reader),
            reader.ReadString(MaximumZoneBytes),
            (int)reader.ReadUpTo(byte.MaxValue),
            ReadAccuser(ref reader),
            (int)reader.ReadUpTo(int.MaxValue));
        if (extra > 0)
        {
            // Nodes from before it was told end here.
            member = member with { WaitedMilliseconds = (int)reader.ReadUpTo(int.MaxValue) };
            extra--;
        }

        reader.Skip(extra);
        return member;
    }

    /// <summary>Empty where nobody accuses.</summary>
    private static NodeName ReadAccuser(ref MessagePackReader reader)
    {
        var text = reader.ReadString(NodeName.MaximumBytes);
        return text.Length == 0 ? default
            : NodeName.TryParse(text, out var name) ? name
            : throw RefusalException.Malformed("An accuser that is not a node name.");
    }
}
