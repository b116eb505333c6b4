using System.Text;
using DistCache.Entries;

namespace DistCache.Peers;

/// <summary>
/// The stable name of a node: the same after a restart, different from every other node's. It decides where the node stands on the
/// ring. 1 to 255 bytes of UTF-8 without control characters.
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
        if (string.IsNullOrEmpty(value) || Encoding.UTF8.GetByteCount(value) > MaximumBytes || value.AsSpan().ContainsAnyInRange('\0', '\x1F'))
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
    public uint Origin => (uint)StableHash.Compute(BitConverter.GetBytes(Incarnation), StableHash.Compute(Name.ToString()));

    public override string ToString() => $"{Name}#{Incarnation}";
}
