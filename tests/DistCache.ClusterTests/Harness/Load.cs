using System.Collections.Concurrent;
using System.Diagnostics;

namespace DistCache.ClusterTests;

/// <summary>
/// Mixed sets, removes and gets on all nodes of a cluster. Each caller writes keys of its own, and reads everybody's: so for every key the
/// last acknowledged state is known without doubt, whichever nodes it went through. A write that failed may or may not have happened, and may still
/// happen later (its request may wait in a stopped process); the key is then written no more, and both states are right at the end.
/// </summary>
internal sealed class Load(Cluster cluster, int keys, int seed)
{
    public const int Callers = 24;

    private const int KeysPerRead = 500;
    /// <summary>Until an owner that did not answer has what it is owed and the stand-in's copy is home (docs/replication.md, what is not done yet).</summary>
    private static readonly TimeSpan DebtsPaid = TimeSpan.FromSeconds(1);

    private const double RemoveRatio = 0.10;
    private const double SetRatio = 0.45;

    private readonly KeyHistory[] _histories = [.. Enumerable.Range(0, keys).Select(key => new KeyHistory($"key:{key}"))];
    private readonly ConcurrentDictionary<int, bool> _away = new();
    private readonly int[] _underWay = new int[cluster.Count];
    private readonly ConcurrentQueue<double> _readMilliseconds = new();
    private readonly ConcurrentQueue<FailedCall> _failures = new();
    private readonly CancellationTokenSource _stop = new();
    private Task _callers = Task.CompletedTask;
    private long _started;
    private long _sequence;
    private long _acknowledged;
    private long _reads;

    /// <summary>Sets and removes that were acknowledged.</summary>
    public long Acknowledged => Interlocked.Read(ref _acknowledged);

    public long Reads => Interlocked.Read(ref _reads);

    /// <summary>Since the start of the load.</summary>
    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_started);

    /// <summary>Every call that failed, and every read that showed something older than what had been acknowledged when it began.</summary>
    public IReadOnlyCollection<FailedCall> Failures => _failures;

    /// <summary>What the machine did to the nodes until now, whichever life of theirs.</summary>
    public IEnumerable<Fault> Starvations =>
        from starvation in cluster.Starvations
        where starvation.To > _started
        let ended = Stopwatch.GetElapsedTime(_started, starvation.To)
        select new Fault(FaultKind.Starved, starvation.Index, Stopwatch.GetElapsedTime(_started, starvation.From), ended, ended + DebtsPaid);

    public void Start()
    {
        _started = Stopwatch.GetTimestamp();
        _callers = Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(() => CallAsync(caller))));
    }

    /// <summary>No further call goes through this node; those that are under way go on.</summary>
    public void Leave(int index) => _away[index] = true;

    /// <summary>No further call goes through this node, and all that did have ended.</summary>
    public async Task LeaveAsync(int index)
    {
        Leave(index);

        // A caller counts itself before it looks whether the node is away: one that is not seen here sees that.
        await cluster.WaitUntilAsync(
            $"what {Cluster.NameOf(index)} was asked is answered",
            () => Task.FromResult(Interlocked.CompareExchange(ref _underWay[index], 0, 0) == 0),
            Cluster.AgreeTimeout);
    }

    public void Use(int index) => _away.TryRemove(index, out _);

    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _callers;
    }

    /// <summary>Reads every key on every running node; gives back what was lost.</summary>
    public async Task<List<string>> CheckAsync()
    {
        List<string> lost = [];
        foreach (var index in cluster.Running)
        {
            foreach (var part in _histories.Chunk(KeysPerRead))
            {
                var values = await Cluster.UntilAnsweredAsync(() => cluster[index].GetAsync([.. part.Select(history => history.Key)]));
                lost.AddRange(part.Zip(values)
                    .Where(read => read.First.FindFault(read.First.Acknowledged, read.Second) is not null)
                    .Select(read => $"{Cluster.NameOf(index)}: {read.First.FindFault(read.First.Acknowledged, read.Second)}"));
            }
        }

        return lost;
    }

    public string Describe() => FormattableString.Invariant(
        $"{Acknowledged:N0} writes acknowledged, {Count(call => !call.IsRead):N0} failed; {_reads:N0} reads, {Count(call => call.IsRead):N0} failed, {Count(call => call.Outcome == Outcome.Older):N0} of these older; seed {seed}");

    /// <summary>Of the times that reads took the nodes since this was asked last.</summary>
    public double TakeReadPercentile99()
    {
        var times = new List<double>();
        while (_readMilliseconds.TryDequeue(out var time))
        {
            times.Add(time);
        }

        times.Sort();
        return times.Count == 0 ? 0 : times[times.Count * 99 / 100];
    }

    private int Count(Func<FailedCall, bool> isMeant) => _failures.Count(isMeant);

    private async Task CallAsync(int caller)
    {
        var random = new Random(seed + caller);
        var own = _histories.Where((_, key) => key % Callers == caller).ToArray();
        while (!_stop.IsCancellationRequested)
        {
            var nodes = cluster.Running.Where(index => !_away.ContainsKey(index)).ToArray();
            if (nodes.Length == 0)
            {
                await Task.Yield();
                continue;
            }

            var index = nodes[random.Next(nodes.Length)];
            Interlocked.Increment(ref _underWay[index]);
            try
            {
                if (!_away.ContainsKey(index))
                {
                    await CallOnceAsync(index, own, random);
                }
            }
            finally
            {
                Interlocked.Decrement(ref _underWay[index]);
            }
        }
    }

    private async Task CallOnceAsync(int index, KeyHistory[] own, Random random)
    {
        var choice = random.NextDouble();
        var isWrite = choice < SetRatio + RemoveRatio;
        var history = isWrite ? own[random.Next(own.Length)] : _histories[random.Next(_histories.Length)];
        if (!isWrite)
        {
            await ReadAsync(index, history);
        }
        else if (!history.IsUnsure)
        {
            await WriteAsync(index, history, isRemove: choice < RemoveRatio);
        }
    }

    private async Task WriteAsync(int index, KeyHistory history, bool isRemove)
    {
        var write = history.Begin(Interlocked.Increment(ref _sequence), isRemove);
        var (began, node) = (Elapsed, cluster[index]);
        try
        {
            await (write.Value is null ? node.RemoveAsync(history.Key) : node.SetAsync(history.Key, write.Value));
            history.Acknowledge(write);
            Interlocked.Increment(ref _acknowledged);
        }
        catch (Exception e) when (e is NodeGoneException or NodeErrorException)
        {
            history.Doubt();
            Fail(index, isRead: false, began, OutcomeOf(e), e.Message);
        }
    }

    private async Task ReadAsync(int index, KeyHistory history)
    {
        Interlocked.Increment(ref _reads);
        var (before, began) = (history.Acknowledged, Elapsed);
        try
        {
            var (value, milliseconds) = await cluster[index].TimeGetAsync(history.Key);
            _readMilliseconds.Enqueue(milliseconds);
            if (history.FindFault(before, value) is { } fault)
            {
                Fail(index, isRead: true, began, Outcome.Older, fault);
            }
        }
        catch (Exception e) when (e is NodeGoneException or NodeErrorException)
        {
            Fail(index, isRead: true, began, OutcomeOf(e), e.Message);
        }
    }

    private static Outcome OutcomeOf(Exception exception) =>
        exception is NodeGoneException ? Outcome.Gone
        : exception.Message.Contains("this node has stopped", StringComparison.Ordinal) || exception.Message.StartsWith(nameof(ObjectDisposedException), StringComparison.Ordinal) ? Outcome.Stopped
        : Outcome.Failed;

    private void Fail(int index, bool isRead, TimeSpan began, Outcome outcome, string why) =>
        _failures.Enqueue(new FailedCall(index, isRead, began, Elapsed, outcome, why));
}
