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

    public static Task FillAsync(IBufferDistributedCache cache, int count) => Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
    {
        var value = new byte[ValueBytes];
        for (var number = writer; number < count; number += Writers)
        {
            await cache.SetAsync(KeyOf(number), value, Forever);
        }
    })));

    public static ValueTask WriteAsync(IBufferDistributedCache cache, string key) =>
        cache.SetAsync(key, new ReadOnlySequence<byte>(new byte[ValueBytes]), Forever);
}
