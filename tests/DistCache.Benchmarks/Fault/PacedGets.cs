using System.Buffers;
using System.Diagnostics;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Benchmarks.Fault;

/// <summary>Gets of random keys, about a thousand a second for as long as nobody stops them: the load does not hide what else goes on.</summary>
internal sealed class PacedGets
{
    private const int Callers = 4;

    private readonly Task _callers;
    private readonly List<(long StartedAt, double Milliseconds)>[] _gets = [.. Enumerable.Range(0, Callers).Select(_ => new List<(long, double)>())];
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

            _gets[caller].Add((start, Stopwatch.GetElapsedTime(start).TotalMilliseconds));
            await Task.Delay(3);
        }
    })));

    public static async Task<PacedGetsResult> ForAsync(TimeSpan time, IBufferDistributedCache cache, int keys)
    {
        var gets = new PacedGets(cache, keys);
        await Task.Delay(time);
        return await gets.StopAsync();
    }

    /// <summary>Ends the callers; gives all gets.</summary>
    public async Task<PacedGetsResult> StopAsync()
    {
        _isStopped = true;
        await _callers;
        return Between(0, long.MaxValue) with { Failed = _failed };
    }

    /// <summary>After <see cref="StopAsync"/>: those that began between two timestamps; failures are not told apart.</summary>
    public PacedGetsResult Between(long from, long to)
    {
        var all = _gets.SelectMany(list => list).Where(get => get.StartedAt >= from && get.StartedAt < to).Select(get => get.Milliseconds).Order().ToArray();
        return all.Length == 0 ? default : new PacedGetsResult(all.Length, 0, all[all.Length / 2], all[all.Length * 99 / 100], all.Count(static time => time > PacedGetsResult.SlowMilliseconds), all[^1]);
    }
}

/// <param name="Count">Gets.</param>
/// <param name="Failed">Misses and exceptions: every key is there.</param>
/// <param name="P50">Milliseconds.</param>
/// <param name="P99">Milliseconds.</param>
/// <param name="Slow">Those that took longer than <see cref="SlowMilliseconds"/>.</param>
/// <param name="Longest">Milliseconds.</param>
internal readonly record struct PacedGetsResult(int Count, int Failed, double P50, double P99, int Slow, double Longest)
{
    /// <summary>As long as a silent owner is waited for before the next is asked: what takes longer waited for that, or for a processor.</summary>
    public const double SlowMilliseconds = 20;

    public override string ToString() => FormattableString.Invariant(
        $"{Count:N0} gets, {Failed} failed, p50 {P50:F2} ms, p99 {P99:F2} ms, {Slow} over {SlowMilliseconds:F0} ms, longest {Longest:F1} ms");
}
