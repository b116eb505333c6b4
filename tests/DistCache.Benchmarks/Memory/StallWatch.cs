using System.Buffers.Text;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DistCache.Benchmarks.Memory;

/// <summary>
/// Keeps the longest time between two calls: of the work, and of an idle loop beside it, which shows what the machine itself does. Of both
/// also the longest that can be the thread's own, running or asleep for somebody: not the time in which it had no processor, because
/// other threads or, of a virtual machine, other machines had it. That the kernel counts (Linux; elsewhere all of it is its own).
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
        _work.Start();
        _control = new Thread(() =>
        {
            _idle.Start();
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
        /// <summary>Shorter ones are not looked at closely, and what the kernel said is never older than this when one begins.</summary>
        private static readonly long Short = Stopwatch.Frequency / 1_000;

        private long _longest;
        private long _longestOwn;
        private long _saidAt;
        private ThreadTime _said;

        public void Start() => _said = ThreadTime.Now();

        public void Note(long started, long ended)
        {
            if (ended - started < Short && ended - _saidAt < Short)
            {
                return;
            }

            var said = ThreadTime.Now();
            // Who never slept was running, or had no processor; of who did, that another machine had it cannot be told from sleep. Up to a
            // millisecond of what is counted was before this gap.
            var own = said.Sleeps == _said.Sleeps ? said.Running - _said.Running : ended - started - (said.Waiting - _said.Waiting);
            _longest = Math.Max(_longest, ended - started);
            _longestOwn = Math.Max(_longestOwn, Math.Min(own, ended - started));
            (_said, _saidAt) = (said, Stopwatch.GetTimestamp());
        }

        public override string ToString() => $"{Milliseconds(_longest):F1} ms (at most {Milliseconds(_longestOwn):F1} its own)";

        private static double Milliseconds(long ticks) => Stopwatch.GetElapsedTime(0, ticks).TotalMilliseconds;
    }
}

/// <summary>
/// What the kernel counted of the calling thread, in ticks of the stopwatch: how long it ran, how long it waited for a processor that other
/// threads had; and how often it went to sleep.
/// </summary>
internal readonly partial record struct ThreadTime(long Running, long Waiting, long Sleeps)
{
    [ThreadStatic]
    private static SafeFileHandle? _schedule;

    private const int ClockOfThread = 3;
    private const int UsageOfThread = 1;

    /// <summary>The place of ru_nvcsw among the 64-bit words of a struct rusage.</summary>
    private const int VoluntarySwitches = 16;

    public static ThreadTime Now()
    {
        if (!OperatingSystem.IsLinux())
        {
            return new(0, 0, Stopwatch.GetTimestamp());
        }

        Span<long> time = stackalloc long[2];
        Span<long> usage = stackalloc long[18];
        _ = GetTime(ClockOfThread, ref time[0]);
        _ = GetUsage(UsageOfThread, ref usage[0]);
        return new(Ticks((time[0] * 1_000_000_000) + time[1]), Ticks(ReadWaiting()), usage[VoluntarySwitches]);
    }

    private static long Ticks(long nanoseconds) => (long)(nanoseconds * (Stopwatch.Frequency / 1e9));

    /// <summary>The second of the three numbers that are there, ns.</summary>
    private static long ReadWaiting()
    {
        _schedule ??= File.OpenHandle("/proc/thread-self/schedstat");
        Span<byte> text = stackalloc byte[128];
        text = text[..RandomAccess.Read(_schedule, text, 0)];
        text = text[(text.IndexOf((byte)' ') + 1)..];
        return Utf8Parser.TryParse(text, out long nanoseconds, out _) ? nanoseconds : 0;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, ref long time);

    [LibraryImport("libc", EntryPoint = "getrusage")]
    private static partial int GetUsage(int who, ref long usage);
}
