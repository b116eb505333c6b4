using DistCache.Peers;

namespace DistCache.Simulation;

/// <summary>What a life sees of the network.</summary>
internal sealed class SimulatedTransport(Simulation simulation, Life life) : IPeerTransport
{
    public event Action<PeerAddress>? Broken;

    public void RaiseBroken(PeerAddress address) => Broken?.Invoke(address);

    public ValueTask<PeerReply> SendAsync(PeerAddress to, PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken)
    {
        simulation.CheckThread();
        if (to == life.Address)
        {
            return new ValueTask<PeerReply>(new PeerFault(FaultKind.Self, "This is the node itself."));
        }

        var call = new Call(simulation, life, to, request);
        if (!life.IsOver)
        {
            call.Start(timeout, cancellationToken);
        }

        return new ValueTask<PeerReply>(call.Reply);
    }
}

/// <summary>A request on its way, until its reply, its timeout or the end of its sender.</summary>
internal sealed class Call(Simulation simulation, Life from, PeerAddress to, PeerRequest request)
{
    // Inline on purpose: a continuation runs inside the event that completes it.
    private readonly TaskCompletionSource<PeerReply> _completion = new();
    private CancellationTokenRegistration _cancellation;
    private Event? _timeout;

    public Life From { get; } = from;

    public PeerAddress To { get; } = to;

    public PeerRequest Request { get; } = request;

    public Task<PeerReply> Reply => _completion.Task;

    public void Start(TimeSpan timeout, CancellationToken cancellationToken)
    {
        _timeout = simulation.Schedule(timeout + Request.ExtraTime, From, () => Complete(PeerFault.TimedOut));
        simulation.Network.Send(this);
        _cancellation = cancellationToken.UnsafeRegister(static call => ((Call)call!).Cancel(), this);
    }

    public void Complete(PeerReply reply)
    {
        if (End())
        {
            _completion.SetResult(reply);
        }
    }

    private void Cancel()
    {
        if (End())
        {
            _completion.SetCanceled();
        }
    }

    private bool End()
    {
        if (_timeout is null || _timeout.IsCancelled)
        {
            return false;
        }

        _timeout.IsCancelled = true;
        _cancellation.Dispose();
        simulation.Network.Forget(this);
        return true;
    }
}
