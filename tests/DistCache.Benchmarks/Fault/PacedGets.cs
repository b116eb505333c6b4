using System.Buffers;
using System.Diagnostics;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Benchmarks.Fault;

/// <summary>Gets of random keys, about a thousand a second for as long as nobody stops them: the load does not hide what else goes on.</summary>
internal sealed class PacedGets
{
    private const int Callers = 4;

    private readonly Task _callers;
    private readonly List<double>[] _milliseconds = [.. Enumerable.Range(0, Callers).Select(_ => new List<double>())];
    private volatile bool _isStopped;
    private int _failed;

    public PacedGets(IBufferDistributedCache cache, int keys) => _callers = Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
    {
        var random = new Random(caller);
        var buffer = new ArrayBufferWriter<byte>(1_000);
        while (!_isStopped)
        {
            buffer.ResetWrittenCount();
            var key = Entries.KeyOf(random.Next(keys));
            var start = Stopwatch.GetTimestamp();
            try
            {
                if (!await cache.TryGetAsync(key, buffer))
                {
                    Interlocked.Increment(ref _failed);
                }
            }
            catch (DistCacheUnavailableException)
            {
                Interlocked.Increment(ref _failed);
            }

            _milliseconds[caller].Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            await Task.Delay(3);
        }
    })));

    public static async Task<PacedGetsResult> ForAsync(TimeSpan time, IBufferDistributedCache cache, int keys)
    {
        var gets = new PacedGets(cache, keys);
        await Task.Delay(time);
        return await gets.StopAsync();
    }

    public async Task<PacedGetsResult> StopAsync()
    {
        _isStopped = true;
        await _callers;
        var all = _milliseconds.SelectMany(list => list).Order().ToArray();
        return new PacedGetsResult(all.Length, _failed, all[all.Length / 2], all[all.Length * 99 / 100], all[^1]);
    }
}

/// <param name="Count">Gets.</param>
/// <param name="Failed">Misses and exceptions: every key is there.</param>
/// <param name="P50">Milliseconds.</param>
/// <param name="P99">Milliseconds.</param>
/// <param name="Longest">Milliseconds.</param>
internal readonly record struct PacedGetsResult(int Count, int Failed, double P50, double P99, double Longest)
{
    public override string ToString() => FormattableString.Invariant($"{Count:N0} gets, {Failed} failed, p50 {P50:F2} ms, p99 {P99:F2} ms, longest {Longest:F1} ms");
}
