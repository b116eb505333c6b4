using System.Buffers.Binary;

namespace DistCache.Entries;

/// <summary>
/// A 64-bit hash of an entry's key and version, and of whether it is a tombstone, the same on every node and in every release. The digest of a slot is the sum of its
/// entries' hashes modulo 2^64: the order does not matter, and what comes is added and what goes taken away.
/// </summary>
internal static class EntryDigest
{
    public static ulong Of(ReadOnlySpan<byte> key, EntryVersion version, bool isTombstone)
    {
        var hash = StableHash.Mix((ulong)key.Length ^ version.Clock) ^ version.Origin;
        for (; key.Length >= sizeof(ulong); key = key[sizeof(ulong)..])
        {
            hash = StableHash.Mix(hash ^ BinaryPrimitives.ReadUInt64LittleEndian(key));
        }

        Span<byte> rest = stackalloc byte[sizeof(ulong)];
        rest.Clear();
        key.CopyTo(rest);
        var digest = StableHash.Mix(hash ^ BinaryPrimitives.ReadUInt64LittleEndian(rest));
        return isTombstone ? ~digest : digest;
    }
}
