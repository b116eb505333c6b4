using System.Buffers.Text;
using System.Diagnostics;
using Microsoft.Win32.SafeHandles;

namespace DistCache.Benchmarks.Memory;

/// <summary>
/// Keeps the longest time between two calls: of the work, and of an idle loop beside it, which shows what the machine itself does. Of both
/// also what is left without the time in which the thread could have run, and had no processor (Linux tells; elsewhere it is the same):
/// that the system counts, and no code in the thread can cause it, however long a lock, a page fault or a copy takes.
/// </summary>
internal sealed class StallWatch : IDisposable
{
    private readonly Thread _control;
    private readonly Gap _work = new();
    private readonly Gap _idle = new();
    private volatile bool _isOver;

    /// <summary>Made by the thread that works.</summary>
    public StallWatch()
    {
        _work.Open();
        _control = new Thread(() =>
        {
            _idle.Open();
            for (var last = Stopwatch.GetTimestamp(); !_isOver;)
            {
                Thread.SpinWait(20);
                var now = Stopwatch.GetTimestamp();
                _idle.Note(last, now);
                last = now;
            }
        }) { IsBackground = true };
        _control.Start();
    }

    public string Longest => _work.ToString();

    public string LongestIdle => _idle.ToString();

    /// <summary>The work between this timestamp and now was one operation.</summary>
    public void Note(long started) => _work.Note(started, Stopwatch.GetTimestamp());

    public void Dispose()
    {
        _isOver = true;
        _control.Join();
    }

    private sealed class Gap
    {
        /// <summary>Shorter ones are not looked at closely, and the count of waiting is never older than this.</summary>
        private static readonly long Short = Stopwatch.Frequency / 1_000;

        private SafeFileHandle? _schedule;
        private long _longest;
        private long _longestRunning;
        private long _waited;
        private long _waitedAt;

        /// <summary>By the thread that is watched.</summary>
        public void Open()
        {
            const string path = "/proc/thread-self/schedstat";
            _schedule = File.Exists(path) ? File.OpenHandle(path) : null;
            _waited = Waited();
        }

        public void Note(long started, long ended)
        {
            if (ended - started < Short && ended - _waitedAt < Short)
            {
                return;
            }

            var waited = Waited();
            _longest = Math.Max(_longest, ended - started);
            _longestRunning = Math.Max(_longestRunning, ended - started - Math.Max(0, waited - _waited));
            (_waited, _waitedAt) = (waited, Stopwatch.GetTimestamp());
        }

        public override string ToString() => $"{Milliseconds(_longest):F1} ms ({Milliseconds(_longestRunning):F1} without waiting for a processor)";

        /// <summary>The second number: how long the thread was ready and did not run, ns.</summary>
        private long Waited()
        {
            Span<byte> text = stackalloc byte[128];
            if (_schedule is null)
            {
                return 0;
            }

            text = text[..RandomAccess.Read(_schedule, text, 0)];
            text = text[(text.IndexOf((byte)' ') + 1)..];
            return Utf8Parser.TryParse(text, out long nanoseconds, out _) ? nanoseconds * Stopwatch.Frequency / 1_000_000_000 : 0;
        }

        private static double Milliseconds(long ticks) => Stopwatch.GetElapsedTime(0, ticks).TotalMilliseconds;
    }
}
