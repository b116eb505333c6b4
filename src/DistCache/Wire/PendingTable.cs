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
/// The calls of one lane that wait for replies: by id, in a table whose size is a power of two. An id is the next number whose place,
/// its lowest bits, is free: looking up is one read, and no number comes again before four thousand million others.
/// <para>
/// Deadlines share one timer, set for the earliest. It does not run while nothing waits: each of the lanes to a peer that is asked something now and then
/// would wake a thread of the pool for nothing some time after.
/// </para>
/// </summary>
internal sealed class PendingTable : IDisposable
{
    /// <summary>The timer rings no more often than this, so a deadline is met up to so much late.</summary>
    private static readonly TimeSpan Resolution = TimeSpan.FromMilliseconds(10);

    private const int SmallestCapacity = 64;

    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly Action<List<PeerCall>> _onLate;
    private readonly ITimer _timer;
    private readonly Queue<Waiter> _waiters = new();
    private PeerCall?[] _places = new PeerCall?[SmallestCapacity];
    private int _count;
    private long _weight;
    private uint _lastId;
    private long _ringsAt = long.MaxValue;
    private bool _closed;

    /// <param name="time">The clock of the deadlines.</param>
    /// <param name="onLate">Called with calls that were taken out since their time is over.</param>
    public PendingTable(TimeProvider time, Action<List<PeerCall>> onLate)
    {
        _time = time;
        _onLate = onLate;
        _timer = time.CreateTimer(static state => ((PendingTable)state!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public int Count => Volatile.Read(ref _count);

    /// <summary>Takes a call in and gives it its id; <paramref name="waited"/> says that the caller was let in from the queue.</summary>
    public AddOutcome TryAdd(PeerCall call, bool waited)
    {
        var weight = MessageCodec.WeightOf(call.Request);
        lock (_lock)
        {
            if (_closed)
            {
                return AddOutcome.Closed;
            }

            if (!HasRoomLocked(weight) || (_waiters.Count > 0 && !waited))
            {
                return AddOutcome.Full;
            }

            call.Weight = weight;
            call.Begin();
            PlaceLocked(call);
            if (call.Deadline < _ringsAt)
            {
                RingAtLocked(call.Deadline);
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

    /// <summary>The call with that id, which is the caller's to end; null if nobody waits for it any more.</summary>
    public PeerCall? Remove(uint id)
    {
        lock (_lock)
        {
            var call = _places[id & (_places.Length - 1)];
            if (call is null || call.Id != id)
            {
                return null;
            }

            RemoveLocked(call);
            return call;
        }
    }

    public bool Contains(PeerCall call)
    {
        lock (_lock)
        {
            return _places[call.Id & (_places.Length - 1)] == call;
        }
    }

    /// <summary>True if it was still there: then the caller ends it.</summary>
    public bool TryRemove(PeerCall call)
    {
        lock (_lock)
        {
            if (_places[call.Id & (_places.Length - 1)] != call)
            {
                return false;
            }

            RemoveLocked(call);
            return true;
        }
    }

    /// <summary>Takes nothing more, and gives all that waited.</summary>
    public List<PeerCall> Close()
    {
        List<PeerCall> removed = [];
        lock (_lock)
        {
            _closed = true;
            TakeLocked(removed, long.MaxValue);
            LetInLocked();
        }

        return removed;
    }

    public void Dispose() => _timer.Dispose();

    private void OnTimer()
    {
        List<PeerCall> late = [];
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

        _onLate(late);
    }

    /// <summary>Takes out what is due at <paramref name="now"/>; gives the earliest deadline of what stays.</summary>
    private long TakeLocked(List<PeerCall> taken, long now)
    {
        var earliest = long.MaxValue;
        foreach (var call in _places)
        {
            if (call is null)
            {
                continue;
            }

            if (call.Deadline <= now)
            {
                RemoveLocked(call);
                taken.Add(call);
            }
            else
            {
                earliest = Math.Min(earliest, call.Deadline);
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

    private void PlaceLocked(PeerCall call)
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

        call.Id = _lastId;
        _places[_lastId & (_places.Length - 1)] = call;
        _count++;
        _weight += call.Weight;
    }

    /// <summary>Different lowest bits stay different when there are more of them, so nobody meets in the larger table.</summary>
    private void GrowLocked()
    {
        var larger = new PeerCall?[_places.Length * 2];
        foreach (var call in _places)
        {
            if (call is not null)
            {
                larger[call.Id & (larger.Length - 1)] = call;
            }
        }

        _places = larger;
    }

    private void RemoveLocked(PeerCall call)
    {
        _places[call.Id & (_places.Length - 1)] = null;
        _count--;
        _weight -= call.Weight;
        if (_count == 0)
        {
            _ringsAt = long.MaxValue;
            _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

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
