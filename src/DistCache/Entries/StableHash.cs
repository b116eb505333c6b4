using System.Text;

namespace DistCache.Entries;

/// <summary>
/// A 64-bit hash that is the same in every process, on every machine and in every release: ring points, origins and digests are
/// compared between nodes. FNV-1a, then the finalizer of MurmurHash3, since FNV alone spreads the last bytes poorly. Not keyed:
/// whatever a stranger may choose, such as the keys inside the memory tier, needs another hash.
/// </summary>
internal static class StableHash
{
    private const ulong OffsetBasis = 0xCBF29CE484222325;
    private const ulong Prime = 0x100000001B3;

    public static ulong Compute(ReadOnlySpan<byte> bytes) => Compute(bytes, OffsetBasis);

    /// <summary>The hash of <paramref name="bytes"/> continued from <paramref name="seed"/>, so that several parts make one hash.</summary>
    public static ulong Compute(ReadOnlySpan<byte> bytes, ulong seed)
    {
        var hash = seed;
        foreach (var b in bytes)
        {
            hash = (hash ^ b) * Prime;
        }

        return Mix(hash);
    }

    public static ulong Compute(string text) => Compute(Encoding.UTF8.GetBytes(text));

    public static ulong Mix(ulong hash)
    {
        hash ^= hash >> 33;
        hash *= 0xFF51AFD7ED558CCD;
        hash ^= hash >> 33;
        hash *= 0xC4CEB9FE1A85EC53;
        return hash ^ (hash >> 33);
    }
}
