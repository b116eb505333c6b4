using System.Buffers;
using System.Text;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>The tier's face in the terms of a test: text keys, arrays, versions by number.</summary>
internal static class TierFace
{
    private const int NoisePeriod = 65_537;

    private static readonly byte[] Noise = MakeNoise();

    public static byte[] Key(string text) => Encoding.UTF8.GetBytes(text);

    public static EntryVersion Version(ulong clock, uint origin = 1) => new(clock, origin);

    public static EntryInfo Info(ulong clock, Expiration? expiration = null, long lastAccess = 0, EntryFlags flags = EntryFlags.None) =>
        new(Version(clock), expiration ?? Expiration.None, lastAccess, flags);

    /// <summary>Bytes that look random, others for each seed, and cost little.</summary>
    public static byte[] Value(int length, int seed = 1)
    {
        var value = new byte[length];
        var offset = (int)((uint)seed * 2_654_435_761u % NoisePeriod);
        for (var filled = 0; filled < length;)
        {
            var part = Noise.AsSpan(offset, Math.Min(length - filled, Noise.Length - offset));
            part.CopyTo(value.AsSpan(filled));
            filled += part.Length;
            offset = 0;
        }

        return value;
    }

    public static ApplyOutcome Put(this MemoryTier tier, string key, EntryInfo info, byte[] value) =>
        tier.Apply(Key(key), info, new ReadOnlySequence<byte>(value), out _);

    public static ApplyOutcome Put(this MemoryTier tier, string key, ulong clock, byte[] value) => tier.Put(key, Info(clock), value);

    public static byte[]? Get(this MemoryTier tier, string key, bool renew = true) => tier.Get(Key(key), renew);

    public static byte[]? Get(this MemoryTier tier, byte[] key, bool renew = true)
    {
        var outcome = tier.Read(key, [], renew, out _, out var length);
        if (outcome == LookupOutcome.TooSmall)
        {
            var value = new byte[length];
            outcome = tier.Read(key, value, renew, out _, out length);
            return outcome == LookupOutcome.Hit ? value : null;
        }

        return outcome == LookupOutcome.Hit ? [] : null;
    }

    public static LookupOutcome Look(this MemoryTier tier, string key, out EntryInfo info) =>
        tier.Read(Key(key), new byte[128 << 10], renew: false, out info, out _);

    public static long Milliseconds(this TimeProvider time) => time.GetUtcNow().ToUnixTimeMilliseconds();

    private static byte[] MakeNoise()
    {
        var noise = new byte[2 * NoisePeriod];
        new Random(1).NextBytes(noise);
        return noise;
    }
}
