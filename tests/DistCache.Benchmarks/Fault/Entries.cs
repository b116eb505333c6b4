using System.Buffers;
using System.Globalization;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Benchmarks.Fault;

/// <summary>Keys of 21 bytes with values of 100.</summary>
internal static class Entries
{
    private const int ValueBytes = 100;
    private const int Writers = 128;
    private static readonly DistributedCacheEntryOptions Forever = new();

    public static string KeyOf(int number) => string.Create(CultureInfo.InvariantCulture, $"key:{number:D17}");

    /// <summary>All bytes of the values are <paramref name="filling"/>.</summary>
    public static Task FillAsync(IBufferDistributedCache cache, int count, byte filling = 0) => Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
    {
        var value = new byte[ValueBytes];
        value.AsSpan().Fill(filling);
        for (var number = writer; number < count; number += Writers)
        {
            await SetAsync(cache, KeyOf(number), value);
        }
    })));

    /// <summary>How many values are not filled with this, or are not there; and how many reads nobody answered.</summary>
    public static async Task<(int Older, int Unanswered)> CountOlderAsync(IBufferDistributedCache cache, int count, byte filling)
    {
        var (older, unanswered) = (0, 0);
        var buffer = new ArrayBufferWriter<byte>(ValueBytes);
        for (var number = 0; number < count; number++)
        {
            buffer.ResetWrittenCount();
            try
            {
                older += await cache.TryGetAsync(KeyOf(number), buffer) && buffer.WrittenSpan[0] == filling ? 0 : 1;
            }
            catch (DistCacheUnavailableException)
            {
                unanswered++;
            }
        }

        return (older, unanswered);
    }

    /// <summary>A write that the cut made fail is tried again.</summary>
    private static async Task SetAsync(IBufferDistributedCache cache, string key, byte[] value)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await cache.SetAsync(key, value, Forever);
                return;
            }
            catch (DistCacheUnavailableException) when (attempt < 10)
            {
            }
        }
    }

    public static ValueTask WriteAsync(IBufferDistributedCache cache, string key) =>
        cache.SetAsync(key, new ReadOnlySequence<byte>(new byte[ValueBytes]), Forever);
}
