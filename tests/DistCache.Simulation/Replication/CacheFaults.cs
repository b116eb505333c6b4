using DistCache.Replication;

namespace DistCache.Simulation.Replication;

/// <summary>
/// Breaks something, or mends it, as the simulation's seed says. Knows what the promise covers: where more copies go at once than it does,
/// the history is told.
/// </summary>
internal sealed class CacheFaults(CacheCluster cluster, bool withCuts)
{
    /// <summary>After the last fault ended, what it left behind is offered, fetched and released within this.</summary>
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(2);

    private readonly Random _random = cluster.Simulation.Random;
    private readonly Dictionary<SimulatedNode, TimeSpan> _pausedAt = [];
    private TimeSpan _calmSince = -Recovery;
    private bool _isNetworkBad;

    public void InjectOne()
    {
        if (cluster.History.IsEstranged && !_isNetworkBad && cluster.IsSettled())
        {
            cluster.History.Reconcile(cluster.Simulation.Elapsed);
        }

        var node = cluster.Nodes[_random.Next(cluster.Nodes.Count)];
        switch (_random.Next(12))
        {
            case 0 or 1 when node.IsRunning && IsAllowedToLose():
                node.Crash(isMachineOff: _random.Next(2) == 0);
                Unsettle(node);
                break;
            case 2 when node.IsRunning && !node.IsPaused && IsAllowedToLose():
                // What it takes until it is gone, it may hand over to nobody as well.
                node.Leave(ended: IsForgivenNow ? Forgive : null);
                Unsettle(node);
                break;
            case 3 when node.IsRunning && !node.IsPaused && IsAllowedToLose():
                node.Crash();
                node.Start();
                Unsettle(node);
                break;
            case 0 or 1 or 2 or 3 when !node.IsRunning:
                Start(node);
                break;
            case 4 or 5 when node.IsRunning && !node.IsPaused:
                node.Pause();
                _pausedAt[node] = cluster.Simulation.Elapsed;
                break;
            case 4 or 5 or 6 when node.IsPaused:
                Resume(node);
                break;
            case 7 when withCuts:
                Break($"the links of {node.Name} lose messages", () => cluster.Members.SetLoss(node, _random.NextDouble()));
                break;
            case 8 when withCuts:
                var other = cluster.Nodes[_random.Next(cluster.Nodes.Count)];
                Break($"the way from {node.Name} to {other.Name} is cut", () => cluster.Members.SetLoss(node, other, 1));
                break;
            case 9 when withCuts:
                var side = cluster.Nodes.Where(_ => _random.Next(2) == 0).ToArray();
                Break($"cut off: {string.Join(' ', side.Select(member => member.Name))}", () => cluster.Members.Cut(side, cluster.Nodes.Except(side)));
                break;
            case 10:
                Heal();
                break;
            case 11:
                var delay = TimeSpan.FromMilliseconds(_random.Next(1, 200));
                var loss = withCuts ? _random.Next(2) * 0.05 : 0;
                Break($"messages take up to {delay}, of {loss:P0} nothing is heard", () => cluster.Members.Network.Default =
                    Link.Good with { MaximumDelay = delay, Loss = loss, Duplication = _random.NextDouble() });
                break;
        }
    }

    /// <summary>Everything runs, and every message arrives.</summary>
    public void EndAll()
    {
        Heal();
        foreach (var node in cluster.Nodes.Where(node => node.IsPaused))
        {
            Resume(node);
        }

        // Whoever is leaving shall have left.
        cluster.Simulation.Run(TimeSpan.FromSeconds(11));
        foreach (var node in cluster.Nodes.Where(node => !node.IsRunning))
        {
            Start(node);
        }
    }

    /// <summary>Nothing is broken, and everybody has got over what was.</summary>
    private bool IsCalm =>
        !_isNetworkBad
        && cluster.Nodes.All(node => node.IsRunning && !node.IsPaused)
        && cluster.Simulation.Elapsed - _calmSince >= Recovery
        && cluster.IsSettled();

    /// <summary>One node at a time, where there are copies beside its own; else only now and then, and what was written before may be gone.</summary>
    private bool IsAllowedToLose()
    {
        var copies = Math.Min(cluster.Nodes.Count, WritePath.CopiesNeeded(cluster.Options.WriteAck, cluster.Options.ReplicaCount));
        if (IsCalm && copies > 1)
        {
            return true;
        }

        if (_random.Next(4) > 0)
        {
            return false;
        }

        Note("more is lost than the promise covers");
        Forgive();
        return true;
    }

    private bool IsForgivenNow => cluster.History.ForgivenUntil == cluster.Simulation.Elapsed;

    private void Forgive() => cluster.History.Forgive(cluster.Simulation.Elapsed);

    private void Unsettle(SimulatedNode node)
    {
        _pausedAt.Remove(node);
        _calmSince = cluster.Simulation.Elapsed;
    }

    private void Start(SimulatedNode node)
    {
        if (!withCuts)
        {
            node.ClockError = TimeSpan.FromHours(_random.Next(-1, 2));
        }

        node.Start();
        if (cluster.Simulation.RunningNodes.Except(Reached(node)).Any())
        {
            Note($"nobody beyond the cut knows of {node.Name}");
            cluster.History.Estrange(cluster.Simulation.Elapsed);
        }

        _calmSince = cluster.Simulation.Elapsed;
    }

    /// <summary>Everybody who can hear of this node, over others or directly.</summary>
    private HashSet<SimulatedNode> Reached(SimulatedNode from)
    {
        HashSet<SimulatedNode> reached = [from];
        var network = cluster.Members.Network;
        for (var count = 0; count < reached.Count;)
        {
            count = reached.Count;
            reached.UnionWith(cluster.Simulation.RunningNodes
                .Where(node => reached.Any(other => !network[node.Address, other.Address].IsCut && !network[other.Address, node.Address].IsCut))
                .ToArray());
        }

        return reached;
    }

    private void Resume(SimulatedNode node)
    {
        node.Resume();
        cluster.History.ExpirySlack += cluster.Simulation.Elapsed - _pausedAt.GetValueOrDefault(node, TimeSpan.Zero);
        _calmSince = cluster.Simulation.Elapsed;
    }

    private void Break(string what, Action how)
    {
        Note(what);
        how();
        _isNetworkBad = true;
    }

    private void Heal()
    {
        Note("the network heals");
        cluster.Members.Network.Heal();
        cluster.Members.Network.Default = Link.Good;
        _isNetworkBad = false;
        _calmSince = cluster.Simulation.Elapsed;
    }

    private void Note(string what) => cluster.Simulation.Trace.Write(cluster.Simulation.Elapsed, "fault", what);
}
