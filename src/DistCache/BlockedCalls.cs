using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache;

/// <summary>
/// The waits of callers that block. An operation ends by itself within the timeout; a wait is bounded even if no thread is left to end it, and
/// the log says then what to do.
/// </summary>
/// <param name="timeout">What ends the operation itself: <see cref="ReplicationOptions.Timeout"/>.</param>
/// <param name="time">For how often it is said.</param>
/// <param name="logger">Hears that threads are short.</param>
internal sealed class BlockedCalls(TimeSpan timeout, TimeProvider time, ILogger logger)
{
    /// <summary>What a caller waits beyond the timeout.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromMilliseconds(250);

    /// <summary>
    /// How often a caller lets others run, and looks again, before it sleeps. Where hundreds block, a turn of all others lies between two looks,
    /// and most replies come within a few of them; where nobody else wants the processor it is over at once.
    /// </summary>
    private const int TurnsBeforeSleep = 16;

    /// <summary>A burst of callers is one matter.</summary>
    private static readonly TimeSpan LogInterval = TimeSpan.FromMinutes(1);

    private long _loggedAt;

    /// <summary>What a caller waits, if it is not for a large value.</summary>
    public TimeSpan Patience { get; } = timeout + Grace;

    /// <summary>
    /// True when the operation has ended after a few turns of other threads. Giving the processor away costs a blocked caller a fraction of what
    /// going to sleep and being woken does, and needs no task.
    /// </summary>
    public static bool EndsSoon<T>(in ValueTask<T> operation)
    {
        for (var turn = 0; turn < TurnsBeforeSleep && !operation.IsCompleted; turn++)
        {
            Thread.Yield();
        }

        return operation.IsCompleted;
    }

    public static bool EndsSoon(in ValueTask operation)
    {
        for (var turn = 0; turn < TurnsBeforeSleep && !operation.IsCompleted; turn++)
        {
            Thread.Yield();
        }

        return operation.IsCompleted;
    }

    /// <summary>
    /// True when the operation has ended, in whatever way. Waiting on the task tells the thread pool that a thread is blocked, waiting on a
    /// handle would not.
    /// </summary>
    public static bool Wait(Task operation, TimeSpan patience)
    {
        try
        {
            return operation.Wait(patience);
        }
        catch (AggregateException)
        {
            // It has failed; the caller gets its own exception from the task.
            return true;
        }
    }

    /// <summary>A call was given up.</summary>
    public void LogStarved()
    {
        var now = time.GetTimestamp();
        var last = Interlocked.Read(ref _loggedAt);
        if ((last == 0 || time.GetElapsedTime(last, now) >= LogInterval) && Interlocked.CompareExchange(ref _loggedAt, now, last) == last)
        {
            Log.ThreadsStarved(logger, Patience.TotalMilliseconds, ThreadPool.ThreadCount, ThreadPool.PendingWorkItemCount);
        }
    }
}
