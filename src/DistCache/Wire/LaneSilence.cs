namespace DistCache.Wire;

/// <summary>
/// Finds that a lane hangs, as a cut link leaves it: a request ran out of time, another one some seconds later, and between
/// them nothing was heard and next to nothing taken.
/// <para>
/// Not at once. Where this process had no thread to spare for so long, what the peer said is here and waits to be read, as this did. So it looks
/// once more after <see cref="WireLimits.LastLook"/>; and again, if its own turn comes as late as that.
/// </para>
/// </summary>
/// <param name="time">For the silence.</param>
/// <param name="longest">How long it may last: <see cref="WireLimits.LongestSilence"/> for this lane.</param>
/// <param name="sentBytes">What the stream has taken so far.</param>
/// <param name="giveUp">It hangs.</param>
internal sealed class LaneSilence(TimeProvider time, TimeSpan longest, Func<long> sentBytes, Action giveUp) : IDisposable
{
    private readonly Lock _lock = new();
    private ITimer? _timer;
    private long _heardAt;
    private long _silentSince;
    private long _sentThen;
    private long _lookingSince;
    private bool _isLooking;

    /// <summary>
    /// A request ran out of time some while ago, and nothing has come since. Longer ago than the ping takes, it says nothing: a lane that hung would be
    /// over by now, and one that stands may have been idle.
    /// </summary>
    public bool IsDoubtful
    {
        get
        {
            lock (_lock)
            {
                var silent = time.GetElapsedTime(_silentSince);
                return !IsAliveLocked() && silent >= WireLimits.LastLook && silent <= WireLimits.KeepAliveDelay + WireLimits.KeepAliveTimeout;
            }
        }
    }

    /// <summary>Something came.</summary>
    public void Heard(long now) => Volatile.Write(ref _heardAt, now);

    public void RanOutOfTime()
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            if (IsAliveLocked())
            {
                (_silentSince, _sentThen) = (now, sentBytes());
            }
            else if (!_isLooking && time.GetElapsedTime(_silentSince, now) >= longest)
            {
                LookLaterLocked(now);
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _isLooking = true;
            _timer?.Dispose();
        }
    }

    private void Look()
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            _isLooking = false;
            if (IsAliveLocked())
            {
                return;
            }

            if (time.GetElapsedTime(_lookingSince, now) >= 2 * WireLimits.LastLook)
            {
                LookLaterLocked(now);
                return;
            }
        }

        giveUp();
    }

    /// <summary>Heard; or it took more than its window holds, as a peer does to which large values go, and which has nothing to say to them yet.</summary>
    private bool IsAliveLocked() => _silentSince <= Volatile.Read(ref _heardAt) || sentBytes() - _sentThen > WireLimits.ServerWindowBytes;

    private void LookLaterLocked(long now)
    {
        _isLooking = true;
        _lookingSince = now;
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _timer ??= time.CreateTimer(static silence => ((LaneSilence)silence!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        _timer.Change(WireLimits.LastLook, Timeout.InfiniteTimeSpan);
    }
}
