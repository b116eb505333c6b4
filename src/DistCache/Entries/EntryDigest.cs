using System.Buffers.Binary;

namespace DistCache.Entries;

/// <summary>
/// A 64-bit hash of an entry's key and version, the same on every node and in every release. The digest of a slot is the sum of its
/// entries' hashes modulo 2^64: the order does not matter, and what comes is added and what goes taken away.
/// </summary>
internal static class EntryDigest
{
    public static ulong Of(ReadOnlySpan<byte> key, EntryVersion version)
    {
        var hash = StableHash.Mix((ulong)key.Length ^ version.Clock) ^ version.Origin;
        for (; key.Length >= sizeof(ulong); key = key[sizeof(ulong)..])
        {
            hash = StableHash.Mix(hash ^ BinaryPrimitives.ReadUInt64LittleEndian(key));
        }

        Span<byte> rest = stackalloc byte[sizeof(ulong)];
        rest.Clear();
        key.CopyTo(rest);
        return StableHash.Mix(hash ^ BinaryPrimitives.ReadUInt64LittleEndian(rest));
    }
}
