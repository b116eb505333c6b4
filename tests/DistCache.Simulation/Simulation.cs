using DistCache.Peers;

namespace DistCache.Simulation;

/// <summary>
/// A whole cluster on one thread in virtual time. One queue, ordered by (due time, sequence), is the clock, the network and the
/// scheduler; one seed decides everything that chance decides, so that a run repeats exactly.
/// </summary>
internal sealed class Simulation : IDisposable
{
    /// <summary>More steps than this in a virtual second are a storm, whatever the reason.</summary>
    private const int MaximumStepsPerSecond = 500_000;

    private readonly PriorityQueue<Event, (long Due, long Sequence)> _queue = new();
    private readonly SynchronizationContext? _outerContext = SynchronizationContext.Current;
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private readonly List<SimulatedNode> _nodes = [];
    private long _sequence;
    private long _secondEnd;
    private long _secondSteps;

    public Simulation(int seed)
    {
        Seed = seed;
        Random = new Random(seed);
        Network = new SimulatedNetwork(this);
        SynchronizationContext.SetSynchronizationContext(null);
    }

    public int Seed { get; }

    /// <summary>For the faults of this run. Nodes and network draw from their own, so that one more fault does not change everything.</summary>
    public Random Random { get; }

    public SimulatedNetwork Network { get; }

    public Trace Trace { get; } = new();

    public IReadOnlyList<SimulatedNode> Nodes => _nodes;

    public IEnumerable<SimulatedNode> RunningNodes => _nodes.Where(node => node.IsRunning);

    /// <summary>What must hold; asked after each change of a view, and when all is quiet.</summary>
    public List<IChecker> Checkers { get; } = [];

    /// <summary>Virtual time since the start, in ticks.</summary>
    public long Now { get; private set; }

    public TimeSpan Elapsed => TimeSpan.FromTicks(Now);

    public long Steps { get; private set; }

    public void Add(SimulatedNode node) => _nodes.Add(node);

    /// <summary>Does something after a delay, as part of a life: never if that has ended, later if it is paused.</summary>
    public Event Schedule(TimeSpan delay, Life? life, Action action)
    {
        CheckThread();
        var scheduled = new Event(life, action);
        Enqueue(scheduled, Now + Math.Max(0, delay.Ticks));
        return scheduled;
    }

    public void Run(TimeSpan time) => RunUntil(() => false, time);

    /// <summary>Runs until the condition holds, looking every 10 ms; gives the virtual time that took, or fails at the limit.</summary>
    public TimeSpan RunUntil(Func<bool> condition, TimeSpan limit, string expectation)
    {
        var start = Now;
        Assert.That(RunUntil(condition, limit), Is.True, () => $"Within {limit}: {expectation}. {Describe()}");
        return TimeSpan.FromTicks(Now - start);
    }

    public bool RunUntil(Func<bool> condition, TimeSpan limit)
    {
        var step = TimeSpan.FromMilliseconds(10).Ticks;
        var end = Now + limit.Ticks;
        while (Now < end)
        {
            if (condition())
            {
                return true;
            }

            RunTo(Math.Min(end, Now + step));
        }

        return condition();
    }

    /// <summary>Asks the checkers what must hold when nothing disturbs the cluster any more.</summary>
    public void CheckQuiet()
    {
        foreach (var checker in Checkers)
        {
            checker.CheckQuiet(this);
        }
    }

    public void Resume(IEnumerable<Event> backlog)
    {
        foreach (var waiting in backlog)
        {
            Enqueue(waiting, Now);
        }
    }

    /// <summary>Everything that runs in a simulation runs on its thread: the one rule that makes a run repeat.</summary>
    public void CheckThread()
    {
        if (Environment.CurrentManagedThreadId != _thread)
        {
            throw new InvalidOperationException("A continuation left the thread of the simulation: see DESIGN §13 for what stays on it.");
        }
    }

    public string Describe() =>
        $"\nSeed {Seed}, at {Elapsed}. Replay: DISTCACHE_SEED={Seed} dotnet test tests/DistCache.Simulation --filter \"FullyQualifiedName~{TestContext.CurrentContext.Test.MethodName}\"\n"
        + string.Join('\n', _nodes.Select(node => node.Describe())) + "\n" + Trace;

    public void Dispose() => SynchronizationContext.SetSynchronizationContext(_outerContext);

    private void RunTo(long end)
    {
        while (_queue.TryPeek(out _, out var key) && key.Due <= end)
        {
            var next = _queue.Dequeue();
            Now = Math.Max(Now, key.Due);
            if (!next.IsCancelled && (next.Life is null || next.Life.Admits(next)))
            {
                next.Action();
            }

            CountStep();
        }

        Now = Math.Max(Now, end);
    }

    private void CountStep()
    {
        Steps++;
        if (Now >= _secondEnd)
        {
            _secondEnd = Now + TimeSpan.TicksPerSecond;
            _secondSteps = 0;
        }

        if (++_secondSteps > MaximumStepsPerSecond)
        {
            Assert.Fail($"More than {MaximumStepsPerSecond} steps in a virtual second. {Describe()}");
        }
    }

    private void Enqueue(Event scheduled, long due) => _queue.Enqueue(scheduled, (due, _sequence++));
}

/// <summary>One thing that is to happen.</summary>
internal sealed class Event(Life? life, Action action)
{
    public Life? Life { get; } = life;

    public Action Action { get; } = action;

    public bool IsCancelled { get; set; }
}

/// <summary>One process, from its start to its end.</summary>
internal sealed class Life(SimulatedNode node, PeerAddress address)
{
    private readonly List<Event> _backlog = [];

    public SimulatedNode Node { get; } = node;

    public PeerAddress Address { get; } = address;

    public bool IsOver { get; set; }

    public bool IsPaused { get; private set; }

    /// <summary>For how many ticks its machine slept, and its clock for durations with it.</summary>
    public long SleptTicks { get; set; }

    public void Pause() => IsPaused = true;

    /// <summary>Gives what waited, in the order in which it came.</summary>
    public IReadOnlyList<Event> Continue()
    {
        IsPaused = false;
        var waiting = _backlog.ToArray();
        _backlog.Clear();
        return waiting;
    }

    public bool Admits(Event next)
    {
        if (IsPaused && !IsOver)
        {
            _backlog.Add(next);
        }

        return !IsPaused && !IsOver;
    }
}
