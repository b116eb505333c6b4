using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// Lets large messages give way to small ones: both need the same processors, and a large one takes all there is. While there is traffic on
/// any data lane of this node, a large message goes in smaller chunks and rests after each until that traffic has had its turn: until the first
/// sign of it that comes <see cref="WireLimits.ShortestRest"/> later, which is sooner than any timer rings. Traffic is what comes at least twice
/// within <see cref="WireLimits.LongestRest"/>: with less of it rests would last for as long as timers do, and a large message for ever.
/// </summary>
internal sealed class LargePace(TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly List<Rest> _resting = [];
    private long _lastAt = time.GetTimestamp() - time.TimestampFrequency;
    private long _busyAt = time.GetTimestamp() - time.TimestampFrequency;
    private int _count;

    /// <summary>How much of a large message is sent in one go.</summary>
    public int ChunkBytes => IsBusy ? WireLimits.BusyChunkBytes : LaneLimits.SentChunkBytes;

    private bool IsBusy => time.GetElapsedTime(Volatile.Read(ref _busyAt)) < WireLimits.BusyWithin;

    /// <summary>Something came on a data lane.</summary>
    public void NoteSmall(long now)
    {
        if (time.GetElapsedTime(Volatile.Read(ref _lastAt), now) < WireLimits.LongestRest)
        {
            Volatile.Write(ref _busyAt, now);
        }

        Volatile.Write(ref _lastAt, now);
        if (Volatile.Read(ref _count) == 0)
        {
            return;
        }

        lock (_lock)
        {
            _resting.RemoveAll(rest => time.GetElapsedTime(rest.Since, now) >= WireLimits.ShortestRest && rest.TrySetResult());
            _count = _resting.Count;
        }
    }

    public Task RestAsync()
    {
        if (!IsBusy)
        {
            return Task.CompletedTask;
        }

        var rest = new Rest(time.GetTimestamp());
        lock (_lock)
        {
            _resting.Add(rest);
            _count = _resting.Count;
        }

        return Task.WhenAny(rest.Task, Task.Delay(WireLimits.LongestRest, time, CancellationToken.None));
    }

    /// <summary>Goes on in the thread pool, and not where small messages are read.</summary>
    private sealed class Rest(long since) : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public long Since { get; } = since;
    }
}
