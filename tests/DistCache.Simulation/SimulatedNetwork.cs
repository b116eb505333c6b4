using DistCache.Peers;

namespace DistCache.Simulation;

/// <summary>How one direction between two nodes behaves.</summary>
/// <param name="MinimumDelay">Of a message.</param>
/// <param name="MaximumDelay">Of a message; messages overtake each other within the difference.</param>
/// <param name="Loss">The share of the messages that vanish, 0 to 1.</param>
/// <param name="Duplication">The share of the requests that arrive twice.</param>
internal sealed record Link(TimeSpan MinimumDelay, TimeSpan MaximumDelay, double Loss = 0, double Duplication = 0)
{
    public static readonly Link Good = new(TimeSpan.FromMicroseconds(100), TimeSpan.FromMilliseconds(1));

    public static readonly Link Cut = Good with { Loss = 1 };

    public bool IsCut => Loss >= 1;
}

/// <summary>
/// Carries messages between lives. A message to a running process arrives, late, twice or never as its link says; one to a machine on
/// which no process listens is refused, and for a while after that so is what comes next, wherever it goes; one to a machine that is off is lost.
/// </summary>
internal sealed class SimulatedNetwork(Simulation simulation)
{
    private static readonly PeerFault Refused = new(FaultKind.NotListening, "Connection refused.");

    private readonly Random _random = new(simulation.Seed ^ 0x5EED);
    private readonly Random _restRandom = new(simulation.Seed ^ 0x4E57);
    private readonly Dictionary<PeerAddress, Life> _listeners = [];
    private readonly HashSet<PeerAddress> _machinesOff = [];
    private readonly Dictionary<(PeerAddress From, PeerAddress To), Link> _links = [];
    private readonly Dictionary<(Life From, Life To), NodeIdentity> _lanes = [];
    private readonly HashSet<Call> _calls = [];
    private readonly Dictionary<(Life From, PeerAddress To, Lane Lane), Rest> _rests = [];

    /// <summary>Where nothing else is said.</summary>
    public Link Default { get; set; } = Link.Good;

    public long Messages { get; private set; }

    /// <summary>Told of each message that is sent, requests and replies; for measuring.</summary>
    public Action<PeerAddress, object>? Sent { get; set; }

    public Link this[PeerAddress from, PeerAddress to]
    {
        get => _links.GetValueOrDefault((from, to), Default);
        set => _links[(from, to)] = value;
    }

    /// <summary>All links are as <see cref="Default"/> says.</summary>
    public void Heal() => _links.Clear();

    public void Listen(Life life)
    {
        _machinesOff.Remove(life.Address);
        _listeners[life.Address] = life;
    }

    /// <summary>The process ended. If its machine goes on, whoever was connected notices at once, and later dials are refused.</summary>
    public void End(Life life, bool isMachineOff)
    {
        life.IsOver = true;
        if (_listeners.GetValueOrDefault(life.Address) == life)
        {
            _listeners.Remove(life.Address);
        }

        if (isMachineOff)
        {
            _machinesOff.Add(life.Address);
            return;
        }

        foreach (var call in _calls.Where(call => call.To == life.Address && !call.From.IsOver).ToArray())
        {
            Answer(life.Address, call, new PeerFault(FaultKind.Unreachable, "The lane broke."));
        }

        foreach (var from in _lanes.Keys.Where(lane => lane.To == life && !lane.From.IsOver).Select(lane => lane.From).ToArray())
        {
            if (Passes(this[life.Address, from.Address]))
            {
                simulation.Schedule(Delay(this[life.Address, from.Address]), from, () => from.Node.Transport.RaiseBroken(life.Address));
            }
        }

        foreach (var lane in _lanes.Keys.Where(lane => lane.To == life || lane.From == life).ToArray())
        {
            _lanes.Remove(lane);
        }
    }

    public void Send(Call call)
    {
        _calls.Add(call);
        if (!call.Request.DialsAnew && _rests.TryGetValue((call.From, call.To, call.Request.Lane), out var rest) && simulation.Now < rest.Until)
        {
            simulation.Schedule(TimeSpan.Zero, call.From, () => call.Complete(Refused));
            return;
        }

        var link = Pass(call.From.Address, call.To, call.Request);
        if (link is null)
        {
            return;
        }

        simulation.Schedule(Delay(link), null, () => Arrive(call));
        if (_random.NextDouble() < link.Duplication)
        {
            simulation.Schedule(Delay(link), null, () => Arrive(call));
        }
    }

    public void Forget(Call call) => _calls.Remove(call);

    private void Arrive(Call call)
    {
        if (_listeners.TryGetValue(call.To, out var to))
        {
            var key = (call.From, to);
            if (!_lanes.TryGetValue(key, out var identity))
            {
                // As in the handshake: a lane keeps the identity that its dialler had when it was opened.
                identity = call.From.Node.Identity;
                _lanes.Add(key, identity);
            }

            EndRests(call.From, call.To);
            simulation.Schedule(TimeSpan.Zero, to, () => Handle(call, to, identity));
        }
        else if (!_machinesOff.Contains(call.To))
        {
            Remember(call);
            Answer(call.To, call, Refused);
        }
    }

    /// <summary>As a lane that was refused: for a while that doubles it says so again, without a dial.</summary>
    private void Remember(Call call)
    {
        var key = (call.From, call.To, call.Request.Lane);
        var failures = _rests.GetValueOrDefault(key).Failures;
        var longest = Math.Min(50 << Math.Min(failures, 5), 1_000);
        var length = TimeSpan.FromMilliseconds(longest * (0.5 + (_restRandom.NextDouble() / 2)));
        _rests[key] = new Rest(simulation.Now + length.Ticks, failures + 1);
    }

    /// <summary>The first lane that stands ends the rest of the others.</summary>
    private void EndRests(Life from, PeerAddress to)
    {
        foreach (var lane in Enum.GetValues<Lane>())
        {
            _rests.Remove((from, to, lane));
        }
    }

    private async void Handle(Call call, Life to, NodeIdentity identity)
    {
        PeerReply reply;
        try
        {
            reply = await to.Node.Process.HandleAsync(identity, call.Request, CancellationToken.None);
        }
        catch (Exception exception)
        {
            simulation.Trace.Errors.Add($"{to.Node.Name}: {exception}");
            reply = new PeerFault(FaultKind.Failed, exception.Message);
        }

        simulation.CheckThread();
        if (!to.IsOver)
        {
            Answer(to.Address, call, reply);
        }
    }

    private void Answer(PeerAddress from, Call call, PeerReply reply)
    {
        if (Pass(from, call.From.Address, reply) is { } link)
        {
            simulation.Schedule(Delay(link), call.From, () => call.Complete(reply));
        }
    }

    private Link? Pass(PeerAddress from, PeerAddress to, object message)
    {
        Messages++;
        Sent?.Invoke(from, message);
        var link = this[from, to];
        return Passes(link) ? link : null;
    }

    private bool Passes(Link link) => !link.IsCut && (link.Loss == 0 || _random.NextDouble() >= link.Loss);

    private TimeSpan Delay(Link link) =>
        link.MinimumDelay + ((link.MaximumDelay - link.MinimumDelay) * _random.NextDouble());
}

/// <summary>Until when a lane does not dial, after so many failures.</summary>
internal readonly record struct Rest(long Until, int Failures);
