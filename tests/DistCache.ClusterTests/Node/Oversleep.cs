using System.Diagnostics;

namespace DistCache.ClusterTests;

/// <summary>
/// What the machine takes from whoever waits here: a thread that only sleeps, a moment at a time, and how much longer than that it slept in all.
/// </summary>
internal sealed class Oversleep : IDisposable
{
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(10);

    private readonly Lock _lock = new();
    private long _began = Stopwatch.GetTimestamp();
    private TimeSpan _past;
    private volatile bool _isOver;

    public Oversleep() => new Thread(Run) { IsBackground = true, Name = "oversleep" }.Start();

    /// <summary>Until now, the moment that has not ended yet included.</summary>
    public TimeSpan Total
    {
        get
        {
            lock (_lock)
            {
                var beyond = Stopwatch.GetElapsedTime(_began) - Moment;
                return beyond > TimeSpan.Zero ? _past + beyond : _past;
            }
        }
    }

    public void Dispose() => _isOver = true;

    private void Run()
    {
        while (!_isOver)
        {
            Thread.Sleep(Moment);
            var past = Total;
            lock (_lock)
            {
                (_past, _began) = (past, Stopwatch.GetTimestamp());
            }
        }
    }
}
