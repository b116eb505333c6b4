namespace DistCache.Entries;

/// <summary>CRC-16/XMODEM (polynomial 0x1021, initial value 0), the checksum that Redis Cluster numbers its slots with.</summary>
internal static class Crc16
{
    private const ushort Polynomial = 0x1021;

    /// <summary>Bytes at a time.</summary>
    private const int Slices = 4;

    /// <summary>
    /// At 256 × k + b what byte b comes to when k zeros follow it: so four bytes need one step instead of four, each of which would wait for
    /// the one before (Kounavis and Berry, "A Systematic Approach to Building High Performance Software-Based CRC Generators", 2005).
    /// </summary>
    private static readonly ushort[] Table = BuildTable();

    public static ushort Compute(ReadOnlySpan<byte> bytes)
    {
        ushort crc = 0;
        while (bytes.Length >= Slices)
        {
            crc = (ushort)(Table[(3 * 256) + ((crc >> 8) ^ bytes[0])]
                ^ Table[(2 * 256) + ((crc & 0xFF) ^ bytes[1])]
                ^ Table[256 + bytes[2]]
                ^ Table[bytes[3]]);
            bytes = bytes[Slices..];
        }

        foreach (var b in bytes)
        {
            crc = (ushort)((crc << 8) ^ Table[(crc >> 8) ^ b]);
        }

        return crc;
    }

    private static ushort[] BuildTable()
    {
        var table = new ushort[Slices * 256];
        for (var i = 0; i < 256; i++)
        {
            var crc = (ushort)(i << 8);
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc & 0x8000) != 0 ? (ushort)((crc << 1) ^ Polynomial) : (ushort)(crc << 1);
            }

            table[i] = crc;
        }

        for (var i = 256; i < table.Length; i++)
        {
            var before = table[i - 256];
            table[i] = (ushort)((before << 8) ^ table[before >> 8]);
        }

        return table;
    }
}
