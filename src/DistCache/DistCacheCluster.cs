using DistCache.Diagnostics;
using DistCache.Replication;
using Microsoft.Extensions.Logging;

namespace DistCache;

/// <summary>The cluster as this node sees it. Inject it to show or to watch the members.</summary>
public sealed class DistCacheCluster
{
    private readonly Ownership _ownership;
    private readonly Replicator _replicator;
    private readonly ILogger _logger;
    private readonly Lock _lock = new();
    private bool _isRaising;
    private bool _isStale;

    internal DistCacheCluster(Replicator replicator, ILogger logger)
    {
        _replicator = replicator;
        _ownership = replicator.Ownership;
        _logger = logger;
        _ownership.RoutingChanged += Publish;
    }

    /// <summary>
    /// A member came, went or changed its state, or the table changed. Raised on the thread pool, one at a time; where changes follow each
    /// other quickly, for the latest of them. What a handler throws is logged and changes nothing.
    /// </summary>
    public event EventHandler<ClusterView>? ViewChanged;

    /// <summary>The present picture; a node without peers is its only member.</summary>
    public ClusterView View => new(_ownership.Current);

    /// <summary>
    /// Whether this node may stop now, however roughly, and every entry that it holds is still with another member: all members are alive,
    /// work by one table and have got what they own, and each slot held here has another owner. True also for a node that holds nothing. Ask
    /// before the next step of a rolling restart. It holds for the moment of the answer, and for writes that were acknowledged by more
    /// than their primary. False if a member does not answer within <see cref="ReplicationOptions.Timeout"/>.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait for the other members' answers.</param>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public Task<bool> IsSafeToStopAsync(CancellationToken cancellationToken = default) => _replicator.IsSafeToStopAsync(cancellationToken);

    /// <summary>The node's own loops call this: no handler may hold them up.</summary>
    private void Publish()
    {
        if (ViewChanged is null)
        {
            return;
        }

        lock (_lock)
        {
            _isStale = true;
            if (_isRaising)
            {
                return;
            }

            _isRaising = true;
        }

        ThreadPool.UnsafeQueueUserWorkItem(static cluster => cluster.RaiseWhileStale(), this, preferLocal: false);
    }

    private void RaiseWhileStale()
    {
        while (true)
        {
            lock (_lock)
            {
                if (!_isStale)
                {
                    _isRaising = false;
                    return;
                }

                _isStale = false;
            }

            try
            {
                ViewChanged?.Invoke(this, View);
            }
            catch (Exception exception)
            {
                Log.ViewSubscriberFailed(_logger, exception);
            }
        }
    }
}
