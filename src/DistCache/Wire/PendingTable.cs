using DistCache.Peers;

namespace DistCache.Wire;

internal enum AddOutcome
{
    Added,

    /// <summary>The limit in flight is reached: wait for room.</summary>
    Full,

    /// <summary>The lane is over.</summary>
    Closed,
}

/// <summary>
/// The requests of one lane that wait for replies: by id, in a table whose size is a power of two. An id is the next number whose place,
/// its lowest bits, is free: looking up is one read, and no number comes again before four thousand million others.
/// <para>
/// Deadlines share one timer, set for the earliest; it does not run while nothing waits.
/// </para>
/// </summary>
internal sealed class PendingTable : IDisposable
{
    /// <summary>The timer rings no more often than this, so a deadline is met up to so much late.</summary>
    private static readonly TimeSpan Resolution = TimeSpan.FromMilliseconds(10);

    private const int SmallestCapacity = 64;

    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly Action<uint> _abandon;
    private readonly ITimer _timer;
    private readonly Queue<Waiter> _waiters = new();
    private PendingRequest?[] _places = new PendingRequest?[SmallestCapacity];
    private PendingRequest? _unused;
    private int _count;
    private long _weight;
    private uint _lastId;
    private long _ringsAt = long.MaxValue;
    private bool _closed;

    /// <param name="time">The clock of the deadlines.</param>
    /// <param name="abandon">Called with the id of a request that nobody waits for any more.</param>
    public PendingTable(TimeProvider time, Action<uint> abandon)
    {
        _time = time;
        _abandon = abandon;
        _timer = time.CreateTimer(static state => ((PendingTable)state!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public int Count => Volatile.Read(ref _count);

    /// <summary>Takes a request in; <paramref name="waited"/> says that the caller was let in from the queue.</summary>
    public AddOutcome TryAdd(
        PeerRequest request, long deadline, bool waited, CancellationToken cancellationToken, out PendingRequest? pending)
    {
        var weight = MessageCodec.WeightOf(request);
        lock (_lock)
        {
            pending = null;
            if (_closed)
            {
                return AddOutcome.Closed;
            }

            if (!HasRoomLocked(weight) || (_waiters.Count > 0 && !waited))
            {
                return AddOutcome.Full;
            }

            pending = _unused ?? new PendingRequest(this);
            _unused = pending.NextUnused;
            pending.NextUnused = null;
            pending.Begin(request, weight, deadline, cancellationToken);
            PlaceLocked(pending);
            if (deadline < _ringsAt)
            {
                RingAtLocked(deadline);
            }

            if (waited)
            {
                LetInLocked();
            }

            return AddOutcome.Added;
        }
    }

    /// <summary>Completes when there may be room for the request, or the lane is over.</summary>
    /// <exception cref="TimeoutException">There was none in time.</exception>
    public async Task WaitForRoomAsync(PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var waiter = new Waiter(MessageCodec.WeightOf(request));
        lock (_lock)
        {
            _waiters.Enqueue(waiter);
            LetInLocked();
        }

        try
        {
            await waiter.Task.WaitAsync(timeout, _time, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            // It may have been let in at this very moment: its turn goes to the next one.
            lock (_lock)
            {
                waiter.TrySetCanceled(CancellationToken.None);
                LetInLocked();
            }

            throw;
        }
    }

    /// <summary>The request with that id, which is the caller's to complete; null if nobody waits for it any more.</summary>
    public PendingRequest? Remove(uint id)
    {
        lock (_lock)
        {
            var pending = _places[id & (_places.Length - 1)];
            if (pending is null || pending.Id != id)
            {
                return null;
            }

            RemoveLocked(pending);
            return pending;
        }
    }

    /// <summary>True if it was still there: then the caller completes it.</summary>
    public bool TryRemove(PendingRequest pending)
    {
        lock (_lock)
        {
            if (_places[pending.Id & (_places.Length - 1)] != pending)
            {
                return false;
            }

            RemoveLocked(pending);
            return true;
        }
    }

    /// <summary>Says that nobody waits for the reply of a removed request any more.</summary>
    public void GiveUp(PendingRequest pending) => _abandon(pending.Id);

    public void Recycle(PendingRequest pending)
    {
        lock (_lock)
        {
            pending.NextUnused = _unused;
            _unused = pending;
        }
    }

    /// <summary>Takes nothing more and gives <paramref name="fault"/> to all who wait.</summary>
    public void Close(PeerFault fault)
    {
        List<PendingRequest> removed = [];
        lock (_lock)
        {
            _closed = true;
            TakeLocked(removed, long.MaxValue);
            LetInLocked();
        }

        removed.ForEach(pending => pending.Complete(fault));
    }

    public void Dispose() => _timer.Dispose();

    private void OnTimer()
    {
        List<PendingRequest> late = [];
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            var now = _time.GetTimestamp();
            var earliest = TakeLocked(late, now);
            _ringsAt = long.MaxValue;
            if (earliest != long.MaxValue)
            {
                RingAtLocked(Math.Max(earliest, now + ToTimestamp(Resolution)));
            }
        }

        foreach (var pending in late)
        {
            GiveUp(pending);
            pending.Complete(PeerFault.TimedOut);
        }
    }

    /// <summary>Takes out what is due at <paramref name="now"/>; gives the earliest deadline of what stays.</summary>
    private long TakeLocked(List<PendingRequest> taken, long now)
    {
        var earliest = long.MaxValue;
        foreach (var pending in _places)
        {
            if (pending is null)
            {
                continue;
            }

            if (pending.Deadline <= now)
            {
                RemoveLocked(pending);
                taken.Add(pending);
            }
            else
            {
                earliest = Math.Min(earliest, pending.Deadline);
            }
        }

        return earliest;
    }

    private void RingAtLocked(long timestamp)
    {
        _ringsAt = timestamp;
        var milliseconds = Math.Ceiling((timestamp - _time.GetTimestamp()) * 1_000.0 / _time.TimestampFrequency);
        _timer.Change(TimeSpan.FromMilliseconds(Math.Clamp(milliseconds, 0, int.MaxValue)), Timeout.InfiniteTimeSpan);
    }

    private long ToTimestamp(TimeSpan duration) => (long)(duration.TotalSeconds * _time.TimestampFrequency);

    private bool HasRoomLocked(int weight) =>
        _count == 0 || (_count < WireLimits.RequestsInFlight && _weight + weight <= WireLimits.BytesInFlight);

    private void PlaceLocked(PendingRequest pending)
    {
        if (_count * 2 >= _places.Length)
        {
            GrowLocked();
        }

        do
        {
            _lastId++;
        }
        while (_places[_lastId & (_places.Length - 1)] is not null);

        pending.Id = _lastId;
        _places[_lastId & (_places.Length - 1)] = pending;
        _count++;
        _weight += pending.Weight;
    }

    /// <summary>Different lowest bits stay different when there are more of them, so nobody meets in the larger table.</summary>
    private void GrowLocked()
    {
        var larger = new PendingRequest?[_places.Length * 2];
        foreach (var pending in _places)
        {
            if (pending is not null)
            {
                larger[pending.Id & (larger.Length - 1)] = pending;
            }
        }

        _places = larger;
    }

    private void RemoveLocked(PendingRequest pending)
    {
        _places[pending.Id & (_places.Length - 1)] = null;
        _count--;
        _weight -= pending.Weight;
        LetInLocked();
    }

    /// <summary>Lets the first in the queue in if it has room now; when it has taken its place it lets the next one in.</summary>
    private void LetInLocked()
    {
        while (_waiters.TryPeek(out var waiter) && (_closed || waiter.Task.IsCompleted || HasRoomLocked(waiter.Weight)))
        {
            _waiters.Dequeue();
            if (waiter.TrySetResult() && !_closed)
            {
                return;
            }
        }
    }

    private sealed class Waiter(int weight) : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public int Weight { get; } = weight;
    }
}
