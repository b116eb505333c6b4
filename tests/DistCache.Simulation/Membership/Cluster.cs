using DistCache.Membership;
using DistCache.Peers;
using DistCache.Simulation.Checkers;

namespace DistCache.Simulation.Membership;

/// <summary>A simulated cluster of members with the checkers of the membership, and the faults of its scenarios by name.</summary>
internal sealed class Cluster : IDisposable
{
    private readonly ClusterProfile _profile;
    private readonly Func<SimulatedNode, Seams, Func<Seams, MembershipProcess>, IProcess> _compose;
    private readonly List<PeerAddress> _seeds = [];
    private readonly int _replicaCount;

    /// <param name="nodes">How many there are at first.</param>
    /// <param name="profile">How patient they are.</param>
    /// <param name="seed">Decides everything that chance decides.</param>
    /// <param name="seeds">How many of the nodes are in the seed list.</param>
    /// <param name="replicaCount">What each tells the others that it wants.</param>
    /// <param name="compose">Puts more on top of the membership; null for nothing more.</param>
    public Cluster(
        int nodes,
        ClusterProfile profile,
        int seed = 1,
        int seeds = 3,
        int replicaCount = 1,
        Func<SimulatedNode, Seams, Func<Seams, MembershipProcess>, IProcess>? compose = null)
    {
        _compose = compose ?? ((_, seams, membership) => membership(seams));
        _profile = profile;
        _replicaCount = replicaCount;
        Timing = SwimTiming.Of(profile);
        Simulation = new Simulation(Environment.GetEnvironmentVariable("DISTCACHE_SEED") is { } given ? int.Parse(given, null) : seed);
        Simulation.Checkers.AddRange([new SoundViews(), new OnlyForward(), Ownership, new OneView(), new NoErrors()]);
        for (var i = 0; i < nodes; i++)
        {
            Add();
        }

        _seeds.AddRange(Nodes.Take(seeds).Select(node => node.Address));
    }

    public Simulation Simulation { get; }

    public SwimTiming Timing { get; }

    public OwnershipChanges Ownership { get; } = new();

    public SimulatedNetwork Network => Simulation.Network;

    public IReadOnlyList<SimulatedNode> Nodes => Simulation.Nodes;

    public TimeSpan SuspicionMinimum => TimeSpan.FromMilliseconds(Timing.SuspicionMinimum(Nodes.Count));

    public TimeSpan SuspicionMaximum => TimeSpan.FromMilliseconds(Timing.SuspicionMaximum(Nodes.Count));

    public TimeSpan ProbeInterval => TimeSpan.FromMilliseconds(Timing.ProbeInterval);

    public TimeSpan SettleWindow => TimeSpan.FromMilliseconds(Timing.SettleWindow);

    public TimeSpan RedialInterval => TimeSpan.FromMilliseconds(Timing.RedialInterval);

    /// <summary>The addresses in every node's seed list.</summary>
    public IList<PeerAddress> Seeds => _seeds;

    public SimulatedNode Add(string? name = null)
    {
        var number = Nodes.Count;
        var address = new PeerAddress($"n{number}", 7_600);
        var node = new SimulatedNode(Simulation, number, name ?? $"n{number}", address, (self, seams) => _compose(self, seams, own => new MembershipProcess(
            self,
            own,
            new MembershipSettings(NodeName.Parse(self.Name), self.Address, "", _replicaCount, _profile, TimeSpan.FromSeconds(5)),
            new StaticSeeds(_seeds))));
        Simulation.Add(node);
        return node;
    }

    /// <summary>All nodes run, know each other and are settled; what is counted starts from here.</summary>
    public Cluster Form()
    {
        foreach (var node in Nodes)
        {
            node.Start();
        }

        Converge(TimeSpan.FromSeconds(30));
        Simulation.Run(SettleWindow * 4);
        Ownership.Clear();
        return this;
    }

    public static MembershipView ViewOf(SimulatedNode node) => node.Process.Membership.View;

    public static Member? Find(SimulatedNode observer, SimulatedNode member) => ViewOf(observer).Find(NodeName.Parse(member.Name));

    public static MemberState? StateOf(SimulatedNode observer, SimulatedNode member) => Find(observer, member)?.State;

    public IEnumerable<SimulatedNode> Others(params SimulatedNode[] except) => Simulation.RunningNodes.Except(except);

    /// <summary>Every running node sees exactly the running ones, and counts the same of them for the table.</summary>
    public bool IsOne() => OneView.Difference(Simulation) is null;

    public TimeSpan Converge(TimeSpan limit)
    {
        var took = Simulation.RunUntil(IsOne, limit, "all views are one");
        Simulation.CheckQuiet();
        return took;
    }

    public TimeSpan RunUntilAll(IEnumerable<SimulatedNode> observers, SimulatedNode member, MemberState state, TimeSpan limit)
    {
        var all = observers.ToArray();
        return Simulation.RunUntil(
            () => all.All(observer => StateOf(observer, member) == state), limit, $"all see {member.Name} as {state}");
    }

    /// <summary>Cuts every link between the two groups, both ways.</summary>
    public void Cut(IEnumerable<SimulatedNode> left, IEnumerable<SimulatedNode> right)
    {
        var others = right.ToArray();
        foreach (var node in left)
        {
            foreach (var other in others.Where(other => other != node))
            {
                SetLoss(node, other, 1);
                SetLoss(other, node, 1);
            }
        }
    }

    public void Isolate(SimulatedNode node) => Cut([node], Nodes);

    /// <summary>Loss on all of a node's links, both ways.</summary>
    public void SetLoss(SimulatedNode node, double loss)
    {
        foreach (var other in Nodes.Where(other => other != node))
        {
            SetLoss(node, other, loss);
            SetLoss(other, node, loss);
        }
    }

    public void SetLoss(SimulatedNode from, SimulatedNode to, double loss) =>
        Network[from.Address, to.Address] = Network[from.Address, to.Address] with { Loss = loss };

    public void Dispose() => Simulation.Dispose();
}
