using System.Diagnostics;

namespace ThreeNodes;

/// <summary>The cluster did not do what the story needs; the message says what.</summary>
internal sealed class StoryException(string message) : Exception(message);

/// <summary>
/// The whole run, top to bottom: three nodes start and find each other; all are put under load; half-way one is killed; it returns; when
/// the load is over and the three agree again, every key with an acknowledged write is read through each of them.
/// </summary>
internal sealed class Story(Arguments arguments, Workload workload, Screen screen) : IAsyncDisposable
{
    private const int Victim = 1;

    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan AgreeTimeout = TimeSpan.FromSeconds(30);

    /// <summary>How long the killed node stays away: long enough for the others to give it up and to take its keys over.</summary>
    private static readonly TimeSpan Absence = TimeSpan.FromSeconds(4);

    /// <summary>Agreement that holds for so long is taken for lasting: twice the settle window of the profile.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(2);

    /// <summary>The load goes on for at least so long after the return.</summary>
    private static readonly TimeSpan Aftermath = TimeSpan.FromSeconds(2);

    private readonly Ledger _ledger = new();
    private readonly Stopwatch _load = new();
    private readonly Summary _summary = new();
    private Trio? _trio;

    private Trio Nodes => _trio ??= new Trio(arguments, _ledger);

    /// <summary>True if nothing was lost.</summary>
    public async Task<bool> RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            screen.Title(workload.Description, arguments.Replicas);
            await Nodes.StartAsync(cancellationToken);
            await AgreeAsync("find each other", cancellationToken);
            await LoadAsync(cancellationToken);
            await AgreeAsync("agree again after the load", cancellationToken);
            await CheckAsync(cancellationToken);
        }
        catch (StoryException e)
        {
            throw new StoryException(e.Message + Nodes.Errors());
        }

        _summary.End(_load.Elapsed, _ledger.Count, Nodes.Live);
        screen.Show(_summary);
        return _summary.IsGood;
    }

    public ValueTask DisposeAsync() => Nodes.DisposeAsync();

    private async Task LoadAsync(CancellationToken cancellationToken)
    {
        screen.Event(_load.Elapsed, "the three have found each other; the load starts");
        _load.Start();
        foreach (var node in Nodes.Live)
        {
            node.StartLoad();
        }

        await TickUntilAsync(() => Done() >= 0.5, cancellationToken);
        await KillAsync(cancellationToken);
        await ReturnAsync(cancellationToken);
        var returned = _load.Elapsed;
        await TickUntilAsync(() => Done() >= 1 && _load.Elapsed >= returned + Aftermath, cancellationToken);
        await Nodes.StopLoadAsync(cancellationToken);
        _load.Stop();
        screen.Event(_load.Elapsed, "the load has ended");
    }

    private async Task KillAsync(CancellationToken cancellationToken)
    {
        var victim = Nodes.Nodes[Victim];
        await victim.KillAsync();
        var killed = _load.Elapsed;
        screen.Event(killed, $"{victim.Name} was killed (SIGKILL)");
        foreach (var node in Nodes.Live)
        {
            node.TakeLongest();
        }

        await TickUntilAsync(() => _load.Elapsed >= killed + Absence, cancellationToken);
        _summary.Kill(victim.Name, killed, victim.Progress, Nodes.Live.Max(node => node.TakeLongest()));
    }

    private async Task ReturnAsync(CancellationToken cancellationToken)
    {
        var started = _load.Elapsed;
        screen.Event(started, $"{Nodes.Nodes[Victim].Name} is started again, empty, with the same name and port");
        var restart = Nodes.RestartAsync(Victim, cancellationToken);
        await TickUntilAsync(() => restart.IsCompleted, cancellationToken);
        await restart;
        Nodes.Nodes[Victim].StartLoad();
        if (!await TickUntilAsync(() => Nodes.Agrees, cancellationToken, AgreeTimeout))
        {
            throw new StoryException($"{Nodes.Nodes[Victim].Name} was not taken back within {AgreeTimeout.TotalSeconds:F0} s.");
        }

        _summary.Return(_load.Elapsed - started);
        screen.Event(_load.Elapsed, $"{Nodes.Nodes[Victim].Name} is a member and an owner again");
    }

    private async Task AgreeAsync(string what, CancellationToken cancellationToken)
    {
        var clock = Stopwatch.StartNew();
        var since = TimeSpan.MaxValue;
        bool HaveAgreedForLong()
        {
            since = !Nodes.Agrees ? TimeSpan.MaxValue : since == TimeSpan.MaxValue ? clock.Elapsed : since;
            return since != TimeSpan.MaxValue && clock.Elapsed - since >= Quiet;
        }

        if (!await TickUntilAsync(HaveAgreedForLong, cancellationToken, AgreeTimeout))
        {
            throw new StoryException($"The three nodes did not {what} within {AgreeTimeout.TotalSeconds:F0} s.");
        }
    }

    /// <summary>With the load stopped: what is read now is what has remained.</summary>
    private async Task CheckAsync(CancellationToken cancellationToken)
    {
        var keys = _ledger.Keys();
        screen.Event(_load.Elapsed, $"reading {keys.Length:N0} keys through each node");
        var checks = Nodes.Live.Select(async node => (node, await Trio.ReadAsync(node, keys, cancellationToken)));
        foreach (var (node, readings) in await Task.WhenAll(checks))
        {
            foreach (var reading in readings)
            {
                _summary.Judge(node.Name, workload.KeyOf(reading.Key), _ledger.Judge(reading));
            }
        }

        _summary.Check(keys.Length);
    }

    /// <summary>0 at the start, 0.5 when it is time for the kill, 1 when the load is over.</summary>
    private double Done() => workload.Length is { } length
        ? (double)Nodes.Nodes.Sum(node => node.Progress.Requests) / length
        : _load.Elapsed.TotalSeconds / arguments.Seconds;

    /// <summary>Keeps the screen alive until something is so, or, where that is limited, until the time is up: then it is false.</summary>
    private async Task<bool> TickUntilAsync(Func<bool> condition, CancellationToken cancellationToken, TimeSpan? timeout = null)
    {
        var clock = Stopwatch.StartNew();
        using var timer = new PeriodicTimer(Tick);
        while (!condition())
        {
            if (clock.Elapsed > timeout)
            {
                return false;
            }

            await timer.WaitForNextTickAsync(cancellationToken);
            Nodes.ThrowIfOneIsGone();
            if (_load.IsRunning)
            {
                screen.Draw(_load.Elapsed, Done(), Nodes.Nodes);
            }
        }

        return true;
    }
}
