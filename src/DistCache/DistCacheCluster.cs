using DistCache.Replication;

namespace DistCache;

/// <summary>The cluster as this node sees it. Inject it to show or to watch the members.</summary>
public sealed class DistCacheCluster
{
    private readonly Ownership _ownership;
    private volatile ClusterView _view;

    internal DistCacheCluster(Ownership ownership)
    {
        _ownership = ownership;
        _view = new ClusterView(ownership.Current);
        ownership.RoutingChanged += Publish;
    }

    /// <summary>A member came, went or changed its state, or the table changed. Raised one at a time; handlers must return soon.</summary>
    public event EventHandler<ClusterView>? ViewChanged;

    /// <summary>The present picture; a node without peers is its only member.</summary>
    public ClusterView View => _view;

    private void Publish()
    {
        var view = new ClusterView(_ownership.Current);
        _view = view;
        ViewChanged?.Invoke(this, view);
    }
}
