using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>
/// Full exchanges that somebody asks for, as every request does that finds another table: among many members each is long, so those who ask for the same one
/// share it.
/// </summary>
internal sealed class SharedExchanges(TimeProvider time, Func<PeerAddress, Task> exchange)
{
    /// <summary>After an exchange with an address another one would say nothing new, and who asks for it is told so at once.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private readonly Lock _lock = new();

    /// <summary>Those that run, and who waits for each.</summary>
    private readonly Dictionary<PeerAddress, List<TaskCompletionSource>> _running = [];

    /// <summary>When the last one ended, for as long as that counts.</summary>
    private readonly Dictionary<PeerAddress, long> _endedAt = [];

    /// <summary>Callers that ask while one runs wait for the same one; those that ask within <see cref="Pause"/> of its end have its outcome.</summary>
    public async ValueTask ExchangeAsync(PeerAddress address, CancellationToken cancellationToken)
    {
        TaskCompletionSource? mine = null;
        lock (_lock)
        {
            // Each waits for a task of its own: of several that wait for one, all but one would go on in another thread.
            if (_running.TryGetValue(address, out var others))
            {
                others.Add(mine = new TaskCompletionSource());
            }
            else if (_endedAt.TryGetValue(address, out var at) && time.GetElapsedTime(at) < Pause)
            {
                return;
            }
            else
            {
                _running.Add(address, []);
            }
        }

        if (mine is not null)
        {
            await mine.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
            return;
        }

        try
        {
            await exchange(address).ConfigureAwait(false);
        }
        finally
        {
            // Each on a hop of its own: one that blocks where it goes on holds up neither the others nor this one.
            End(address).ForEach(waiter => TimerHop.Run(time, waiter.SetResult));
        }
    }

    /// <summary>Gives who waited.</summary>
    private List<TaskCompletionSource> End(PeerAddress address)
    {
        lock (_lock)
        {
            foreach (var (other, _) in _endedAt.Where(ended => time.GetElapsedTime(ended.Value) >= Pause))
            {
                _endedAt.Remove(other);
            }

            _endedAt[address] = time.GetTimestamp();
            _running.Remove(address, out var waiting);
            return waiting!;
        }
    }
}
