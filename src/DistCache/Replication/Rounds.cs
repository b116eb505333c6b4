using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>What a part of the replication does again and again in the background.</summary>
internal static class Rounds
{
    /// <summary>
    /// A round after each interval, one at a time. One that fails is logged, and the next comes all the same; ends when it is stopped, or
    /// after a round when there is nothing more to do.
    /// </summary>
    public static async Task RunAsync(
        string part, TimeSpan interval, Func<Task> round, TimeProvider time, ILogger logger, CancellationToken stopping, Func<bool>? isDone = null)
    {
        using var timer = new PeriodicTimer(interval, time);
        for (var isOver = false; !isOver && !stopping.IsCancellationRequested;)
        {
            try
            {
                if (!await timer.WaitForNextTickAsync(stopping).ConfigureAwait(false))
                {
                    // Nobody refers to its clock any more, and the collector has ended the timer: from here on it would come at once, again and again.
                    return;
                }

                await round().ConfigureAwait(false);
                isOver = isDone?.Invoke() ?? false;
            }
            catch (OperationCanceledException)
            {
                // The node stops; whoever stops it gracefully waits for the hand-over first.
            }
            catch (Exception exception)
            {
                Metrics.BackgroundFailed(part);
                Log.BackgroundFailed(logger, part, exception);
            }
        }
    }
}
