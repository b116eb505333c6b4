using System.Diagnostics;

namespace DistCache.Benchmarks.Memory;

/// <summary>Keeps the longest time between two calls: of the work, and of an idle loop beside it, which shows what the machine itself does.</summary>
internal sealed class StallWatch : IDisposable
{
    private readonly Thread _control;
    private volatile bool _isOver;
    private long _longestIdle;
    private long _longest;

    public StallWatch()
    {
        _control = new Thread(() =>
        {
            for (var last = Stopwatch.GetTimestamp(); !_isOver;)
            {
                Thread.SpinWait(20);
                var now = Stopwatch.GetTimestamp();
                _longestIdle = Math.Max(_longestIdle, now - last);
                last = now;
            }
        }) { IsBackground = true };
        _control.Start();
    }

    public double LongestIdleMilliseconds => Stopwatch.GetElapsedTime(0, _longestIdle).TotalMilliseconds;

    public double LongestMilliseconds => Stopwatch.GetElapsedTime(0, _longest).TotalMilliseconds;

    /// <summary>The work between this timestamp and now was one operation.</summary>
    public void Note(long started) => _longest = Math.Max(_longest, Stopwatch.GetTimestamp() - started);

    public void Dispose()
    {
        _isOver = true;
        _control.Join();
    }
}
