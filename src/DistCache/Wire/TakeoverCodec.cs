using System.Buffers.Binary;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>The messages of takeover and transfer; docs/wire-protocol.md has their table.</summary>
internal static class TakeoverCodec
{
    /// <summary>Two array headers, a key and two numbers.</summary>
    private const int SmallestHeldBytes = 6;

    /// <summary>[table]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, HoldingsRequest request)
    {
        new MessageHead(MessageKind.Holdings, id, clock, 1).Write(writer);
        writer.Write(request.TableHash);
    }

    public static HoldingsRequest ReadHoldings(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(1);
        var request = new HoldingsRequest(reader.ReadUInt64());
        reader.Finish(extra);
        return request;
    }

    /// <summary>[table, slots, [[identity, milliseconds], …], is whole, tombstone lifetime in ms]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, HoldingsReply reply)
    {
        new MessageHead(MessageKind.HoldingsReply, id, clock, 5).Write(writer);
        writer.Write(reply.TableHash);
        Write(writer, reply.Held);
        writer.WriteArrayHeader(reply.Missing.Count);
        foreach (var absence in reply.Missing)
        {
            writer.WriteArrayHeader(2);
            ElementCodec.Write(writer, absence.Identity);
            writer.Write(absence.Milliseconds);
        }

        writer.Write(reply.IsWhole);
        writer.Write((long)reply.TombstoneLifetime.TotalMilliseconds);
    }

    public static HoldingsReply ReadHoldingsReply(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(4);
        var reply = new HoldingsReply(reader.ReadUInt64(), ReadSlots(ref reader), ReadAbsences(ref reader), reader.ReadBoolean());
        if (extra > 0)
        {
            // Nodes from before it was told end here.
            reply = reply with { TombstoneLifetime = TimeSpan.FromMilliseconds((double)reader.ReadUpTo(int.MaxValue)) };
            extra--;
        }

        reader.Finish(extra);
        return reply;
    }

    /// <summary>[slots, cursor, maximum bytes]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, TransferRequest request)
    {
        new MessageHead(MessageKind.Transfer, id, clock, 3).Write(writer);
        Write(writer, request.Slots);
        writer.Write(request.Cursor);
        writer.Write((long)request.MaximumBytes);
    }

    public static TransferRequest ReadTransfer(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(3);
        var request = new TransferRequest(ReadSlots(ref reader), reader.ReadUInt64(), reader.ReadInt32());
        reader.Finish(extra);
        return request;
    }

    /// <summary>[entries, cursor, is end, look-ups]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, TransferReply reply)
    {
        new MessageHead(MessageKind.TransferReply, id, clock, 4).Write(writer);
        ElementCodec.Write(writer, reply.Entries);
        writer.Write(reply.Cursor);
        writer.Write(reply.IsEnd);
        writer.Write(reply.Lookups);
    }

    /// <summary>The entries stay where they are, on loan.</summary>
    public static TransferReply ReadTransferReply(MessageHead head, ref MessagePackReader reader, ReceiveBuffer lender)
    {
        var extra = head.FieldsAfter(4);
        var entries = ElementCodec.ReadEntries(ref reader);
        var (cursor, isEnd, lookups) = (reader.ReadUInt64(), reader.ReadBoolean(), reader.ReadInt64());
        reader.Finish(extra);
        return new TransferReply(entries, cursor, isEnd, lookups) { Loan = lender.Lend() };
    }

    /// <summary>[[[key, version], …], table]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, CompareRequest request)
    {
        new MessageHead(MessageKind.Compare, id, clock, 2).Write(writer);
        writer.WriteArrayHeader(request.Held.Count);
        foreach (var held in request.Held)
        {
            writer.WriteArrayHeader(2);
            writer.WriteBinary(held.Key.Span);
            ElementCodec.Write(writer, held.Version);
        }

        writer.Write(request.TableHash);
    }

    public static CompareRequest ReadCompare(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(2);
        var count = reader.ReadArrayHeader();
        var held = new List<HeldVersion>(Math.Min(count, reader.Remaining / SmallestHeldBytes));
        for (var i = 0; i < count; i++)
        {
            var extraOfHeld = reader.ReadFields(2);
            held.Add(new HeldVersion(ElementCodec.ReadKey(ref reader), ElementCodec.ReadVersion(ref reader)));
            reader.Skip(extraOfHeld);
        }

        var request = new CompareRequest(held, reader.ReadUInt64());
        reader.Finish(extra);
        return request;
    }

    /// <summary>[is owner, [position, …]]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, CompareReply reply)
    {
        new MessageHead(MessageKind.CompareReply, id, clock, 2).Write(writer);
        writer.Write(reply.IsOwner);
        writer.WriteArrayHeader(reply.Lacking.Count);
        foreach (var position in reply.Lacking)
        {
            writer.Write((long)position);
        }
    }

    public static CompareReply ReadCompareReply(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(2);
        var isOwner = reader.ReadBoolean();
        var lacking = new int[reader.ReadArrayHeader()];
        for (var i = 0; i < lacking.Length; i++)
        {
            lacking[i] = reader.ReadInt32();
        }

        reader.Finish(extra);
        return new CompareReply(isOwner, lacking);
    }

    /// <summary>[slots, digests: 8 bytes each, little end first, table]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, DigestRequest request)
    {
        new MessageHead(MessageKind.Digest, id, clock, 3).Write(writer);
        Write(writer, request.Slots);
        var digests = new byte[request.Digests.Count * sizeof(long)];
        for (var i = 0; i < request.Digests.Count; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(digests.AsSpan(i * sizeof(long)), request.Digests[i]);
        }

        writer.WriteBinary(digests);
        writer.Write(request.TableHash);
    }

    public static DigestRequest ReadDigest(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(3);
        var slots = ReadSlots(ref reader);
        var bytes = reader.ReadBinary(Slot.Count * sizeof(long)).Span;
        var digests = new long[slots.Count];
        if (bytes.Length != digests.Length * sizeof(long))
        {
            throw RefusalException.Malformed($"{bytes.Length} bytes of digests for {digests.Length} slots, where {sizeof(long)} each are expected.");
        }

        for (var i = 0; i < digests.Length; i++)
        {
            digests[i] = BinaryPrimitives.ReadInt64LittleEndian(bytes[(i * sizeof(long))..]);
        }

        var request = new DigestRequest(slots, digests, reader.ReadUInt64());
        reader.Finish(extra);
        return request;
    }

    /// <summary>[is same table, differing slots]</summary>
    public static void Write(in MessagePackWriter writer, uint id, ulong clock, DigestReply reply)
    {
        new MessageHead(MessageKind.DigestReply, id, clock, 2).Write(writer);
        writer.Write(reply.IsSameTable);
        Write(writer, reply.Differing);
    }

    public static DigestReply ReadDigestReply(MessageHead head, ref MessagePackReader reader)
    {
        var extra = head.FieldsAfter(2);
        var reply = new DigestReply(reader.ReadBoolean(), ReadSlots(ref reader));
        reader.Finish(extra);
        return reply;
    }

    private static List<Absence> ReadAbsences(ref MessagePackReader reader)
    {
        var count = reader.ReadArrayHeader();
        var absences = new List<Absence>(Math.Min(count, WireLimits.MemberRecords));
        for (var i = 0; i < count; i++)
        {
            var extra = reader.ReadFields(2);
            absences.Add(new Absence(ElementCodec.ReadIdentity(ref reader), reader.ReadInt32()));
            reader.Skip(extra);
        }

        return absences;
    }

    private static void Write(in MessagePackWriter writer, SlotSet slots)
    {
        Span<byte> bitmap = stackalloc byte[SlotSet.ByteCount];
        slots.CopyBitmapTo(bitmap);
        writer.WriteBinary(bitmap);
    }

    private static SlotSet ReadSlots(ref MessagePackReader reader)
    {
        var bitmap = reader.ReadBinary(SlotSet.ByteCount);
        return bitmap.Length == SlotSet.ByteCount
            ? SlotSet.FromBitmap(bitmap.Span)
            : throw RefusalException.Malformed($"A slot bitmap of {bitmap.Length} bytes, where {SlotSet.ByteCount} are expected.");
    }
}
