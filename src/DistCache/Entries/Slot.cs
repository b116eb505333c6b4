namespace DistCache.Entries;

/// <summary>
/// One of the 16 384 partitions of the key space, numbered exactly as Redis Cluster does: the CRC-16 of the hash tag, or of the
/// whole key where it has none, modulo 16 384 (Redis Cluster specification, "Key distribution model" and "Hash tags").
/// </summary>
internal readonly record struct Slot
{
    /// <summary>The number of slots; a power of two, so that the modulo is a mask.</summary>
    public const int Count = 16_384;

    public Slot(int number)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(number, Count);
        Number = (ushort)number;
    }

    /// <summary>In [0, <see cref="Count"/>).</summary>
    public ushort Number { get; }

    public static Slot Of(ReadOnlySpan<byte> key) => new(Crc16.Compute(HashTagOrKey(key)) & (Count - 1));

    public override string ToString() => Number.ToString(System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>What stands between the first '{' and the next '}', if there is anything; else the whole key.</summary>
    private static ReadOnlySpan<byte> HashTagOrKey(ReadOnlySpan<byte> key)
    {
        var open = key.IndexOf((byte)'{');
        if (open < 0)
        {
            return key;
        }

        var afterOpen = key[(open + 1)..];
        var length = afterOpen.IndexOf((byte)'}');
        return length > 0 ? afterOpen[..length] : key;
    }
}
