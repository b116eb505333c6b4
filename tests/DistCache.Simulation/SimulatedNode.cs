using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Simulation;

/// <summary>The seams that a process in the simulation is given, and may touch: nothing else.</summary>
internal sealed record Seams(IPeerTransport Transport, TimeProvider Time, Random Random, ILogger Logger);

/// <summary>What runs on a node: the membership alone, or a whole cache on top of it.</summary>
internal interface IProcess : IPeerHandler
{
    NodeIdentity Identity { get; }

    Membership.MembershipProcess Membership { get; }

    void Start();

    /// <summary>Leaves in good order; the node ends the life when this completes.</summary>
    Task StopAsync();
}

/// <summary>
/// A machine on which one process after another runs: it starts, is paused, goes on, crashes, leaves, starts again.
/// </summary>
internal sealed class SimulatedNode(
    Simulation simulation, int number, string name, PeerAddress address, Func<SimulatedNode, Seams, IProcess> compose)
{
    private int _starts;
    private long _asleepSince;
    private Life? _life;
    private IProcess? _process;
    private SimulatedTransport? _transport;

    /// <summary>Its place in the cluster, from 0.</summary>
    public int Number { get; } = number;

    public string Name { get; } = name;

    public PeerAddress Address { get; set; } = address;

    /// <summary>By how much the wall clock is ahead of the true time.</summary>
    public TimeSpan ClockError { get; set; }

    public bool IsRunning => _life is { IsOver: false };

    public bool IsPaused => _life is { IsOver: false, IsPaused: true };

    public IProcess Process => _process ?? throw new InvalidOperationException($"{Name} was never started.");

    public SimulatedTransport Transport => _transport ?? throw new InvalidOperationException($"{Name} was never started.");

    public NodeIdentity Identity => Process.Identity;

    public Simulation Simulation => simulation;

    public void Start()
    {
        Assert.That(IsRunning, Is.False, "It runs already.");
        var life = new Life(this, Address);
        _life = life;
        _transport = new SimulatedTransport(simulation, life);
        var random = new Random(unchecked((((simulation.Seed * 397) + Number) * 397) + _starts++));
        Note(_starts == 1 ? "starts" : "starts again");
        _process = compose(this, new Seams(_transport, new SimulatedTime(simulation, life), random, new TraceLogger(simulation, Name)));
        simulation.Network.Listen(life);
        simulation.Schedule(TimeSpan.Zero, life, _process.Start);
    }

    /// <summary>kill −9, or the machine loses its power.</summary>
    public void Crash(bool isMachineOff = false)
    {
        Note(isMachineOff ? "loses power" : "crashes");
        simulation.Network.End(_life!, isMachineOff);
    }

    /// <summary>SIGSTOP: connections stay open, nothing is answered.</summary>
    public void Pause()
    {
        Note("is paused");
        _asleepSince = simulation.Now;
        _life!.Pause();
    }

    /// <summary>SIGCONT; or the machine slept, and its clock for durations with it.</summary>
    public void Resume(bool machineSlept = false)
    {
        Note(machineSlept ? "wakes up" : "goes on");
        _life!.SleptTicks += machineSlept ? simulation.Now - _asleepSince : 0;
        simulation.Resume(_life!.Continue());
    }

    /// <summary>Leaves in good order and ends.</summary>
    public void Leave(Action? ended = null)
    {
        Note("leaves");
        var life = _life!;
        simulation.Schedule(TimeSpan.Zero, life, async () =>
        {
            await Process.StopAsync();
            simulation.CheckThread();
            simulation.Network.End(life, isMachineOff: false);
            ended?.Invoke();
        });
    }

    public string Describe() => $"{Name}: {(IsRunning ? IsPaused ? "paused" : Process.ToString() : "down")}";

    private void Note(string what) => simulation.Trace.Write(simulation.Elapsed, Name, what);
}
