using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// Wakes reads whose first question is still unanswered after the hedge delay. All wait for the same time, and hardly any is still there
/// when it is over, so they stand in a list that one timer looks through, armed only while there are any: a read that ends is not
/// taken out, and one that uses the object again while it stands there costs nothing.
/// <para>
/// No lock: reads are pushed; the timer takes the whole list, and pushes back those that still wait.
/// </para>
/// </summary>
internal sealed class HedgeClock(TimeProvider time, TimeSpan delay)
{
    /// <summary>A read is woken so much late at the most.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(5);

    private ITimer? _timer;
    private RemoteRead? _watched;
    private int _isTicking;

    /// <summary>Watches over the read for as long as it waits.</summary>
    public void Watch(RemoteRead read)
    {
        if (read.TryWatch())
        {
            Push(read);
            StartTicking(delay);
        }
    }

    private void Push(RemoteRead read)
    {
        RemoteRead? head;
        do
        {
            // In a local: as soon as the read stands in the list the timer may take it out and clear its link.
            head = Volatile.Read(ref _watched);
            read.NextWatched = head;
        }
        while (Interlocked.CompareExchange(ref _watched, read, head) != head);
    }

    private void StartTicking(TimeSpan dueIn)
    {
        if (Volatile.Read(ref _isTicking) != 0 || Interlocked.Exchange(ref _isTicking, 1) != 0)
        {
            return;
        }

        if (_timer is not null)
        {
            _timer.Change(dueIn, Timeout.InfiniteTimeSpan);
            return;
        }

        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((HedgeClock)state!).OnTick(), this, dueIn, Timeout.InfiniteTimeSpan);
        }
    }

    private void OnTick()
    {
        var read = Interlocked.Exchange(ref _watched, null);
        while (read is not null)
        {
            var next = read.NextWatched;
            read.NextWatched = null;
            Look(read);
            read = next;
        }

        // In this order: who pushes looks for the ticking after it did.
        Interlocked.Exchange(ref _isTicking, 0);
        if (Volatile.Read(ref _watched) is not null)
        {
            StartTicking(Tick);
        }
    }

    /// <summary>In this order: a read that begins again finds itself unwatched, or is found waiting here.</summary>
    private void Look(RemoteRead read)
    {
        read.Unwatch();
        var state = read.State;
        if (!RemoteRead.IsWaiting(state))
        {
            return;
        }

        if (time.GetElapsedTime(read.StartedAt) >= delay && !read.IsFollowing)
        {
            if (read.TryHedge(state))
            {
                // What follows may run the code of the read's caller, and others wait for this clock.
                TimerHop.Run(time, read.AskOthers);
            }
        }
        else if (read.TryWatch())
        {
            Push(read);
        }
    }
}
