using DistCache.Replication;

namespace DistCache;

/// <summary>The cluster as this node sees it. Inject it to show or to watch the members.</summary>
public sealed class DistCacheCluster
{
    private volatile ClusterView _view;

    internal DistCacheCluster(Ownership ownership)
    {
        _view = new ClusterView(ownership.Current);
        ownership.RoutingChanged += Publish;
    }

    /// <summary>A member came, went or changed its state, or the table changed. Raised one at a time; handlers must return soon.</summary>
    public event EventHandler<ClusterView>? ViewChanged;

    /// <summary>The present picture; a node without peers is its only member.</summary>
    public ClusterView View => _view;

    private void Publish(Routing routing)
    {
        var view = new ClusterView(routing);
        _view = view;
        ViewChanged?.Invoke(this, view);
    }
}
