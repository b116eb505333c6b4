using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>What several messages have in common, each an array of its own so that a newer version may add to it.</summary>
internal static class ElementCodec
{
    /// <summary>An entry: five fields, of which none takes less than a byte, and its own header.</summary>
    private const int SmallestEntryBytes = 12;

    /// <summary>[clock, origin]</summary>
    public static void Write(in MessagePackWriter writer, EntryVersion version)
    {
        writer.WriteArrayHeader(2);
        writer.Write(version.Clock);
        writer.Write((ulong)version.Origin);
    }

    public static EntryVersion ReadVersion(ref MessagePackReader reader)
    {
        var extra = reader.ReadFields(2);
        var version = new EntryVersion(reader.ReadUInt64(), reader.ReadUInt32());
        reader.Skip(extra);
        return version;
    }

    /// <summary>[absolute or nil, window, idle], in milliseconds</summary>
    public static void Write(in MessagePackWriter writer, RemainingTime remaining)
    {
        writer.WriteArrayHeader(3);
        if (remaining.Absolute == Expiration.Never)
        {
            writer.WriteNil();
        }
        else
        {
            writer.Write(remaining.Absolute);
        }

        writer.Write(remaining.Window);
        writer.Write(remaining.Idle);
    }

    public static RemainingTime ReadRemaining(ref MessagePackReader reader)
    {
        var extra = reader.ReadFields(3);
        var absolute = reader.TryReadNil() ? Expiration.Never : reader.ReadInt64();
        var remaining = new RemainingTime(absolute, reader.ReadInt64(), reader.ReadInt64());
        reader.Skip(extra);
        return remaining;
    }

    /// <summary>[key, version, remaining, flags, value]</summary>
    public static void Write(in MessagePackWriter writer, EntryRecord entry)
    {
        writer.WriteArrayHeader(5);
        writer.WriteBinary(entry.Key.Span);
        Write(writer, entry.Version);
        Write(writer, entry.Remaining);
        writer.Write((ulong)entry.Flags);
        writer.WriteBinary(entry.Value.Span);
    }

    public static EntryRecord ReadEntry(ref MessagePackReader reader)
    {
        var extra = reader.ReadFields(5);
        var entry = new EntryRecord(
            ReadKey(ref reader),
            ReadVersion(ref reader),
            ReadRemaining(ref reader),
            (EntryFlags)reader.ReadUpTo(byte.MaxValue),
            ReadValue(ref reader));
        reader.Skip(extra);
        return entry;
    }

    public static void Write(in MessagePackWriter writer, IReadOnlyList<EntryRecord> entries)
    {
        writer.WriteArrayHeader(entries.Count);
        foreach (var entry in entries)
        {
            Write(writer, entry);
        }
    }

    public static List<EntryRecord> ReadEntries(ref MessagePackReader reader)
    {
        var count = reader.ReadArrayHeader();
        var entries = new List<EntryRecord>(Math.Min(count, reader.Remaining / SmallestEntryBytes));
        for (var i = 0; i < count; i++)
        {
            entries.Add(ReadEntry(ref reader));
        }

        return entries;
    }

    public static ReadOnlyMemory<byte> ReadKey(ref MessagePackReader reader) => reader.ReadBinary(EntryKey.MaximumBytes);

    public static ReadOnlyMemory<byte> ReadValue(ref MessagePackReader reader) => reader.ReadBinary(WireLimits.MaximumValueBytes);

    /// <summary>[name, incarnation]</summary>
    public static void Write(in MessagePackWriter writer, NodeIdentity identity)
    {
        writer.WriteArrayHeader(2);
        writer.WriteString(identity.Name.ToString());
        writer.Write(identity.Incarnation);
    }

    public static NodeIdentity ReadIdentity(ref MessagePackReader reader)
    {
        var extra = reader.ReadFields(2);
        var identity = new NodeIdentity(ReadNodeName(ref reader), reader.ReadInt64());
        reader.Skip(extra);
        return identity;
    }

    public static NodeName ReadNodeName(ref MessagePackReader reader) =>
        NodeName.TryParse(reader.ReadString(NodeName.MaximumBytes), out var name)
            ? name
            : throw RefusalException.Malformed("A node name that is empty or has control characters.");

    /// <summary>[host, port]</summary>
    public static void Write(in MessagePackWriter writer, PeerAddress address)
    {
        writer.WriteArrayHeader(2);
        writer.WriteString(address.Host);
        writer.Write((ulong)address.Port);
    }

    public static PeerAddress ReadAddress(ref MessagePackReader reader)
    {
        var extra = reader.ReadFields(2);
        var address = new PeerAddress(reader.ReadString(PeerAddress.MaximumHostLength), (int)reader.ReadUpTo(ushort.MaxValue));
        reader.Skip(extra);
        return PeerAddress.TryParse(address.ToString(), out _)
            ? address
            : throw RefusalException.Malformed("An address whose host is not a host name or IP address.");
    }
}
