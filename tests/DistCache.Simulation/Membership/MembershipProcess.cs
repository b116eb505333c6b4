using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Simulation.Membership;

/// <summary>A process that is nothing but a member.</summary>
internal sealed class MembershipProcess : IProcess
{
    private readonly SimulatedNode _node;
    private MembershipView _last;

    public MembershipProcess(SimulatedNode node, Seams seams, MembershipSettings settings, ISeedSource seeds)
    {
        _node = node;
        Loop = new GossipLoop(settings, seams.Transport, seams.Time, seams.Random, seeds, seams.Logger);
        _last = Loop.View;
        Loop.ViewChanged += Changed;
    }

    public GossipLoop Loop { get; }

    public NodeIdentity Identity => Loop.Self;

    MembershipProcess IProcess.Membership => this;

    /// <summary>It found others, or gave up looking.</summary>
    public bool HasJoined { get; private set; }

    /// <summary>Called once, when it has.</summary>
    public Action? Joined { get; set; }

    public MembershipView View => Loop.View;

    public IEnumerable<string> Live => View.Members.Where(member => member.State is MemberState.Alive).Select(member => member.Name.ToString());

    public IEnumerable<string> Settled => View.Members.Where(member => member.IsSettled).Select(member => member.Name.ToString());

    public async void Start()
    {
        await Loop.JoinAsync(CancellationToken.None);
        _node.Simulation.CheckThread();
        HasJoined = true;
        Joined?.Invoke();
    }

    public async Task StopAsync()
    {
        await Loop.LeaveAsync(CancellationToken.None);
        await Loop.LeftAsync(CancellationToken.None);
        await Loop.DisposeAsync();
    }

    public ValueTask<PeerReply> HandleAsync(NodeIdentity from, PeerRequest request, CancellationToken cancellationToken) =>
        Loop.HandleAsync(from, request, cancellationToken);

    public override string ToString() => string.Join(
        ' ', View.Members.Select(member => $"{member.Name}:{member.State.ToString()[..2]}{(member.IsSettled ? "" : "?")}"));

    private void Changed(MembershipView view)
    {
        _node.Simulation.CheckThread();
        var before = _last;
        _last = view;
        foreach (var checker in _node.Simulation.Checkers)
        {
            checker.CheckView(_node, before, view);
        }
    }
}
