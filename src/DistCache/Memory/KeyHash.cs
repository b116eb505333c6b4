using System.Buffers.Binary;
using System.Security.Cryptography;

namespace DistCache.Memory;

/// <summary>
/// The keyed hash that places keys in shards and buckets: 128-bit products folded as in wyhash (Wang Yi, final version 4), with random
/// secrets of our own instead of the published ones. Without them nobody can choose keys that collide; they never leave the process.
/// </summary>
internal readonly struct KeyHash
{
    private readonly ulong _secret0;
    private readonly ulong _secret1;
    private readonly ulong _secret2;

    /// <param name="seed">Only for runs that must repeat; null draws from the system's generator.</param>
    public KeyHash(ulong? seed)
    {
        Span<byte> secrets = stackalloc byte[24];
        if (seed is { } given)
        {
            new Random(unchecked((int)given)).NextBytes(secrets);
        }
        else
        {
            RandomNumberGenerator.Fill(secrets);
        }

        // Odd, so that none of them is 0 and makes a product forget its other factor.
        _secret0 = BinaryPrimitives.ReadUInt64LittleEndian(secrets) | 1;
        _secret1 = BinaryPrimitives.ReadUInt64LittleEndian(secrets[8..]) | 1;
        _secret2 = BinaryPrimitives.ReadUInt64LittleEndian(secrets[16..]) | 1;
    }

    public ulong Compute(ReadOnlySpan<byte> key)
    {
        var length = (ulong)key.Length;
        var seed = _secret0;
        while (key.Length > 16)
        {
            seed = Fold(Read64(key) ^ _secret1, Read64(key[8..]) ^ seed);
            key = key[16..];
        }

        ulong low, high;
        if (key.Length >= 8)
        {
            low = Read64(key);
            high = Read64(key[^8..]);
        }
        else if (key.Length >= 4)
        {
            low = BinaryPrimitives.ReadUInt32LittleEndian(key);
            high = BinaryPrimitives.ReadUInt32LittleEndian(key[^4..]);
        }
        else if (key.Length > 0)
        {
            low = key[0] | ((ulong)key[key.Length / 2] << 8) | ((ulong)key[^1] << 16);
            high = 0;
        }
        else
        {
            low = high = 0;
        }

        return Fold(_secret2 ^ length, Fold(low ^ _secret1, high ^ seed));
    }

    private static ulong Fold(ulong left, ulong right)
    {
        // Two multiplications: the low half of the long one would come by way of memory.
        return Math.BigMul(left, right, out _) ^ (left * right);
    }

    private static ulong Read64(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt64LittleEndian(bytes);
}

/// <summary>
/// Which bits of a key's hash decide what. Low half: 0–7 the tag, 8–15 the shard, 16–31 the base bucket. High half: which of the
/// buckets that the base bucket was split into.
/// </summary>
internal static class HashBits
{
    public static byte Tag(ulong hash) => (byte)hash;

    public static int Shard(ulong hash, int shards) => (int)(((uint)hash >> 8 & 0xFF) * (uint)shards >> 8);

    public static int BaseBucket(ulong hash, int baseBuckets) => (int)(((uint)hash >> 16) * (uint)baseBuckets >> 16);

    public static uint SplitBits(ulong hash) => (uint)(hash >> 32);
}
