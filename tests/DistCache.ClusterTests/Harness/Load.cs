using System.Collections.Concurrent;
using System.Diagnostics;

namespace DistCache.ClusterTests;

/// <summary>
/// Mixed sets, removes and gets on all nodes of a cluster, by callers that each have keys of their own: so for every key the last
/// acknowledged state is known without doubt, whichever nodes it went through. An operation that failed may or may not have happened, and
/// may still happen later (its request may wait in a stopped process); the key is then left alone, and both states are right at the end.
/// </summary>
internal sealed class Load(Cluster cluster, int keys, int seed)
{
    private const int Callers = 24;
    private const int KeysPerRead = 500;
    private const double RemoveRatio = 0.10;
    private const double SetRatio = 0.45;

    private readonly State[] _states = [.. Enumerable.Range(0, keys).Select(key => new State($"key:{key}"))];
    private readonly ConcurrentDictionary<int, bool> _away = new();
    private readonly ConcurrentQueue<double> _readMilliseconds = new();
    private readonly ConcurrentQueue<string> _failures = new();
    private readonly ConcurrentQueue<string> _readFailures = new();
    private readonly Stopwatch _clock = new();
    private readonly CancellationTokenSource _stop = new();
    private Task _callers = Task.CompletedTask;
    private long _sequence;
    private long _acknowledged;
    private long _failedWrites;
    private long _reads;
    private long _failedReads;

    /// <summary>Sets and removes that were acknowledged.</summary>
    public long Acknowledged => Interlocked.Read(ref _acknowledged);

    public long Reads => Interlocked.Read(ref _reads);

    /// <summary>Reads that threw, or showed something else than the last acknowledged state of a key that only the reader writes.</summary>
    public long FailedReads => Interlocked.Read(ref _failedReads);

    /// <summary>What went wrong with the first reads and writes that failed.</summary>
    public IEnumerable<string> Failures => _readFailures.Concat(_failures).Take(20);

    /// <summary>Every read that failed: when, where, and what it showed.</summary>
    public IEnumerable<string> ReadFailures => _readFailures;

    public void Start()
    {
        _clock.Start();
        _callers = Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(() => CallAsync(caller))));
    }

    /// <summary>Nothing more is sent to this node; what it has been sent goes on.</summary>
    public void Leave(int index) => _away[index] = true;

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
            foreach (var part in _states.Chunk(KeysPerRead))
            {
                var values = await cluster[index].GetAsync([.. part.Select(state => state.Key)]);
                lost.AddRange(part.Where((state, i) => !state.Allows(values[i])).Select((state, i) =>
                    $"{Cluster.NameOf(index)}: {state} shows {values[Array.IndexOf(part, state)] ?? "nothing"}"));
            }
        }

        return lost;
    }

    public string Describe() => FormattableString.Invariant(
        $"{Acknowledged:N0} writes acknowledged, {_failedWrites:N0} failed; {_reads:N0} reads, {FailedReads:N0} failed; seed {seed}");

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

    private async Task CallAsync(int caller)
    {
        var random = new Random(seed + caller);
        var own = _states.Where((_, key) => key % Callers == caller).ToArray();
        while (!_stop.IsCancellationRequested)
        {
            var state = own[random.Next(own.Length)];
            var nodes = cluster.Running.Where(index => !_away.ContainsKey(index)).ToArray();
            if (nodes.Length == 0 || state.IsUnsure)
            {
                await Task.Yield();
                continue;
            }

            var index = nodes[random.Next(nodes.Length)];
            var node = cluster[index];
            var choice = random.NextDouble();
            await (choice < SetRatio + RemoveRatio ? WriteAsync(node, state, choice < RemoveRatio) : ReadAsync(index, state));
        }
    }

    private async Task WriteAsync(NodeProcess node, State state, bool isRemove)
    {
        var value = isRemove ? null : $"{state.Key} write {Interlocked.Increment(ref _sequence)} {new string('.', 80)}";
        try
        {
            await (value is null ? node.RemoveAsync(state.Key) : node.SetAsync(state.Key, value));
            state.Acknowledge(value);
            Interlocked.Increment(ref _acknowledged);
        }
        catch (Exception e) when (e is NodeGoneException or NodeErrorException)
        {
            state.Doubt(value);
            Interlocked.Increment(ref _failedWrites);
            _failures.Enqueue($"write: {e.Message}");
        }
    }

    private async Task ReadAsync(int index, State state)
    {
        Interlocked.Increment(ref _reads);
        var began = _clock.Elapsed;
        try
        {
            var (value, milliseconds) = await cluster[index].TimeGetAsync(state.Key);
            _readMilliseconds.Enqueue(milliseconds);
            if (!state.Allows(value))
            {
                Fail($"{state} shows {value?.TrimEnd('.') ?? "nothing"}");
            }
        }
        catch (NodeErrorException e)
        {
            Fail(e.Message);
        }
        catch (NodeGoneException)
        {
            // The process that was asked is not there any more: no promise of the cache is about that.
        }

        void Fail(string why)
        {
            Interlocked.Increment(ref _failedReads);
            _readFailures.Enqueue(FormattableString.Invariant($"read through {Cluster.NameOf(index)} from {began.TotalSeconds:F3} to {_clock.Elapsed.TotalSeconds:F3} s: {why}"));
        }
    }

    /// <summary>What a key may show. Only its own caller writes it, one operation after the other.</summary>
    private sealed class State(string key)
    {
        private string? _acknowledged;
        private string? _doubtful;

        public string Key => key;

        public bool IsUnsure { get; private set; }

        public void Acknowledge(string? value) => _acknowledged = value;

        public void Doubt(string? value) => (_doubtful, IsUnsure) = (value, true);

        public bool Allows(string? value) => value == _acknowledged || (IsUnsure && value == _doubtful);

        public override string ToString() => $"{key}, acknowledged as {_acknowledged?.TrimEnd('.') ?? "removed"}{(IsUnsure ? ", then in doubt" : "")},";
    }
}
