namespace DistCache.Simulation.Membership;

/// <summary>Breaks something, or mends it, as the simulation's seed says.</summary>
internal sealed class RandomFaults(Cluster cluster)
{
    private readonly Random _random = cluster.Simulation.Random;

    public void InjectOne()
    {
        var node = cluster.Nodes[_random.Next(cluster.Nodes.Count)];
        switch (_random.Next(12))
        {
            case 0 or 1 when node.IsRunning:
                node.Crash(isMachineOff: _random.Next(2) == 0);
                break;
            case 0 or 1 or 2 when !node.IsRunning:
                Restart(node);
                break;
            case 3 when node.IsRunning && !node.IsPaused:
                node.Pause();
                break;
            case 3 or 4 when node.IsPaused:
                node.Resume();
                break;
            case 5:
                Note($"half of the links of {node.Name} lose messages");
                cluster.SetLoss(node, _random.NextDouble());
                break;
            case 6:
                Note($"one way of {node.Name} is cut");
                cluster.SetLoss(node, cluster.Nodes[_random.Next(cluster.Nodes.Count)], 1);
                break;
            case 7:
                var side = cluster.Nodes.Where(_ => _random.Next(2) == 0).ToArray();
                Note($"cut off: {string.Join(' ', side.Select(member => member.Name))}");
                cluster.Cut(side, cluster.Nodes.Except(side));
                break;
            case 8 or 9:
                Note("the network heals");
                cluster.Network.Heal();
                break;
            case 10:
                var delay = TimeSpan.FromMilliseconds(_random.Next(1, 300));
                Note($"messages take up to {delay}");
                cluster.Network.Default = Link.Good with { MaximumDelay = delay, Loss = _random.Next(2) * 0.1, Duplication = _random.NextDouble() };
                break;
            case 11 when node.IsRunning && !node.IsPaused:
                node.Leave();
                break;
        }
    }

    public void EndAll()
    {
        Note("peace");
        cluster.Network.Heal();
        cluster.Network.Default = Link.Good;
        foreach (var node in cluster.Nodes.Where(node => node.IsPaused))
        {
            node.Resume();
        }

        // Whoever is leaving shall have left.
        cluster.Simulation.Run(TimeSpan.FromSeconds(5));
        foreach (var node in cluster.Nodes.Where(node => !node.IsRunning))
        {
            Restart(node);
        }
    }

    private void Restart(SimulatedNode node)
    {
        node.ClockError = TimeSpan.FromHours(_random.Next(-1, 2));
        node.Start();
    }

    private void Note(string what) => cluster.Simulation.Trace.Write(cluster.Simulation.Elapsed, "fault", what);
}
