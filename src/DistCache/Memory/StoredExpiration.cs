using System.Buffers.Binary;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// The optional part behind a header: 48-bit milliseconds, which reach to the year 10 889. What lies beyond that is for ever, what lies
/// before 1970 was then.
/// </summary>
internal static class StoredExpiration
{
    public const int AbsoluteBytes = 6;
    public const int WindowBytes = 12;

    private const long Maximum = (1L << 48) - 1;

    public static bool HasAbsolute(in Expiration expiration) => expiration.AbsoluteAt <= Maximum;

    public static int BytesOf(in Expiration expiration) =>
        (HasAbsolute(expiration) ? AbsoluteBytes : 0) + (expiration.Window > 0 ? WindowBytes : 0);

    public static void Write(Span<byte> chunk, in EntryInfo info)
    {
        var rest = chunk[EntryHeader.Bytes..];
        if (HasAbsolute(info.Expiration))
        {
            Write48(rest, info.Expiration.AbsoluteAt);
            rest = rest[AbsoluteBytes..];
        }

        if (info.Expiration.Window > 0)
        {
            Write48(rest, info.Expiration.Window);
            Write48(rest[6..], info.LastAccess);
        }
    }

    public static Expiration Read(ReadOnlySpan<byte> chunk, EntryShape shape, out long lastAccess)
    {
        var rest = chunk[EntryHeader.Bytes..];
        var absolute = Expiration.Never;
        if (shape.HasAbsolute)
        {
            absolute = Read48(rest);
            rest = rest[AbsoluteBytes..];
        }

        lastAccess = shape.HasWindow ? Read48(rest[6..]) : 0;
        return new Expiration(absolute, shape.HasWindow ? Read48(rest) : 0);
    }

    /// <summary>Moves the last use forward, never back. Only where there is a window.</summary>
    public static void Renew(Span<byte> chunk, in EntryHeader header, long lastAccess)
    {
        var place = chunk[(header.KeyOffset - 6)..];
        if (lastAccess > Read48(place))
        {
            Write48(place, lastAccess);
        }
    }

    private static void Write48(Span<byte> destination, long milliseconds)
    {
        var clamped = Math.Clamp(milliseconds, 0, Maximum);
        BinaryPrimitives.WriteUInt32LittleEndian(destination, (uint)clamped);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[4..], (ushort)(clamped >> 32));
    }

    private static long Read48(ReadOnlySpan<byte> source) =>
        BinaryPrimitives.ReadUInt32LittleEndian(source) | ((long)BinaryPrimitives.ReadUInt16LittleEndian(source[4..]) << 32);
}
