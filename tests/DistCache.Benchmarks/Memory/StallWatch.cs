using System.Diagnostics;

namespace DistCache.Benchmarks.Memory;

/// <summary>Keeps the longest time between two calls: of the work, and of an idle loop beside it, which shows what the machine itself does.</summary>
internal sealed class StallWatch : IDisposable
{
    private readonly Thread _control;
    private volatile bool _isOver;
    private long _longestIdle;

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

    public double LongestMilliseconds { get; private set; }

    public void Time(Action action)
    {
        var started = Stopwatch.GetTimestamp();
        action();
        LongestMilliseconds = Math.Max(LongestMilliseconds, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
    }

    public void Dispose()
    {
        _isOver = true;
        _control.Join();
    }
}
