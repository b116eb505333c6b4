using System.Buffers;
using System.Buffers.Binary;
using System.Text.Unicode;
using DistCache.Entries;

namespace DistCache.Peers;

/// <summary>
/// The stable name of a node: the same after a restart, different from every other node's. It decides where the node stands on the
/// ring. 1 to 255 bytes of well-formed UTF-8 without control characters.
/// </summary>
internal readonly record struct NodeName : IComparable<NodeName>
{
    public const int MaximumBytes = 255;

    private readonly string? _value;

    private NodeName(string value) => _value = value;

    public static NodeName Parse(string value) =>
        TryParse(value, out var name)
            ? name
            : throw new FormatException($"A node name has 1 to {MaximumBytes} bytes of UTF-8 without control characters.");

    public static bool TryParse(string? value, out NodeName name)
    {
        name = default;
        if (string.IsNullOrEmpty(value) || value.Any(char.IsControl))
        {
            return false;
        }

        // Not only its length: an ill-formed name would reach a peer as another one.
        Span<byte> utf8 = stackalloc byte[MaximumBytes];
        if (Utf8.FromUtf16(value, utf8, out _, out _, replaceInvalidSequences: false) != OperationStatus.Done)
        {
            return false;
        }

        name = new NodeName(value);
        return true;
    }

    public int CompareTo(NodeName other) => string.CompareOrdinal(_value, other._value);

    public override string ToString() => _value ?? "";
}

/// <summary>One life of a node: its name and the incarnation, the moment of its start in milliseconds since 1970.</summary>
internal readonly record struct NodeIdentity(NodeName Name, long Incarnation)
{
    /// <summary>What versions stamped by this life carry, to order two of the same clock.</summary>
    public uint Origin
    {
        get
        {
            Span<byte> incarnation = stackalloc byte[sizeof(long)];
            BinaryPrimitives.WriteInt64LittleEndian(incarnation, Incarnation);
            return (uint)StableHash.Compute(incarnation, StableHash.Compute(Name.ToString()));
        }
    }

    public override string ToString() => $"{Name}#{Incarnation}";
}
