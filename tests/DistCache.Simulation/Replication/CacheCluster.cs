using System.Text;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Simulation.Membership;

namespace DistCache.Simulation.Replication;

/// <summary>A simulated cluster of caches, its callers, and what must be true of the entries in the end.</summary>
internal sealed class CacheCluster : IDisposable
{
    /// <summary>A crash is noticed, the table changes, every import ends: all of that within this time.</summary>
    private static readonly TimeSpan ConvergeLimit = TimeSpan.FromMinutes(2);

    /// <summary>Two rounds of anti-entropy, and the age below which it leaves versions alone.</summary>
    private static readonly TimeSpan TwoRounds = (2 * DistCache.Replication.AntiEntropy.Interval) + DistCache.Replication.AntiEntropy.MinimumAge;

    private readonly int _keys;

    public CacheCluster(int nodes, int seed = 1, int keys = 40, ReplicationOptions? options = null, long sizeLimit = CacheProcess.SizeLimit)
    {
        _keys = keys;
        Options = options ?? new ReplicationOptions();
        Members = new Cluster(
            nodes,
            ClusterProfile.Fast,
            seed,
            replicaCount: Options.ReplicaCount,
            compose: (_, seams, membership) => new CacheProcess(seams, membership, Options, sizeLimit));
    }

    public Cluster Members { get; }

    public Simulation Simulation => Members.Simulation;

    public IReadOnlyList<SimulatedNode> Nodes => Members.Nodes;

    public ReplicationOptions Options { get; }

    public History History { get; } = new();

    /// <summary>Every read is judged when it ends; else, where the promise about reads does not hold, only those after quiet.</summary>
    public bool JudgesReads { get; set; } = true;

    /// <summary>While tables differ reads are promised nothing; over good links that is too short to tell.</summary>
    public bool JudgesWhileTablesDiffer { get; set; } = true;

    /// <summary>So much older than promised a read may be, where messages are lost; one of which all messages were lost has no answer.</summary>
    public TimeSpan Staleness { get; init; }

    public int Reads { get; private set; }

    /// <summary>But for those that a node refused because it had stopped.</summary>
    public int UnacknowledgedWrites { get; private set; }

    /// <summary>
    /// After so long callers write other keys, and only read these any more: so the last write of a key comes at any time, also while its
    /// owners are away. Null for the same keys all the time.
    /// </summary>
    public TimeSpan? EraLength { get; init; }

    /// <summary>Of the entries that expire. Shorter than the quiet at the end: then none of them may be left.</summary>
    public TimeSpan LongestLifetime { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>Of all that callers write.</summary>
    public int ValueBytes { get; init; } = sizeof(int);

    private bool IsLoadOn { get; set; }

    public static CacheProcess CacheOf(SimulatedNode node) => (CacheProcess)node.Process;

    public CacheCluster Form()
    {
        Members.Form();
        Settle();
        return this;
    }

    /// <summary>All run and work by one table; nobody counts for it yet but by having started with all others.</summary>
    public void StartNodes()
    {
        foreach (var node in Nodes)
        {
            node.Start();
        }

        Settle();
    }

    /// <summary>One view, one table, nothing to import.</summary>
    public void Settle()
    {
        Members.Converge(ConvergeLimit);
        Simulation.RunUntil(IsSettled, ConvergeLimit, "every import ends");
    }

    public bool IsSettled() =>
        Members.IsOne() && Simulation.RunningNodes.All(node => CacheOf(node).Replicator.Ownership.Current.Import.IsComplete);

    /// <summary>What the node itself says.</summary>
    public bool IsSafeToStop(SimulatedNode node)
    {
        var answer = CacheOf(node).Replicator.IsSafeToStopAsync(CancellationToken.None);
        Simulation.RunUntil(() => answer.IsCompleted, TimeSpan.FromSeconds(3), "it answers");
        return answer.Result;
    }

    private bool HasOneTable => Simulation.RunningNodes.Select(node => CacheOf(node).Replicator.Ownership.Current.Table.Hash).Distinct().Count() == 1;

    /// <summary>Nobody is passed over because its answers take longer than a writer waits for a replica.</summary>
    private bool IsQuick => 2 * Members.Network.Default.MaximumDelay < Options.Timeout / 4;

    /// <summary>Callers on every node, or on those, read, set and remove at random, each so many times a second, until <see cref="StopLoad"/>.</summary>
    public void StartLoad(double operationsPerSecond = 50, IEnumerable<SimulatedNode>? on = null)
    {
        IsLoadOn = true;
        foreach (var node in on ?? Nodes)
        {
            StartCaller(node, operationsPerSecond);
        }
    }

    public void StartCaller(SimulatedNode node, double operationsPerSecond = 50)
    {
        var pause = TimeSpan.FromSeconds(1 / operationsPerSecond);
        Simulation.Schedule(pause * Simulation.Random.NextDouble(), null, Operate);

        void Operate()
        {
            if (!IsLoadOn)
            {
                return;
            }

            // As in an application, which is not started before the node has joined or given up.
            if (node.IsRunning && !node.IsPaused && CacheOf(node).Membership.HasJoined)
            {
                OperateOnce(node);
            }

            Simulation.Schedule(pause, null, Operate);
        }
    }

    /// <summary>What is under way ends, as an acknowledgement or not.</summary>
    public void StopLoad()
    {
        IsLoadOn = false;
        Simulation.Run(2 * Options.Timeout);
    }

    public async Task WriteAsync(SimulatedNode node, string key, bool isRemove = false, TimeSpan? lifetime = null, bool isSliding = false, int valueBytes = sizeof(int))
    {
        var write = History.Begin(key, isRemove, Simulation.Elapsed, lifetime, isSliding);
        var milliseconds = (long?)lifetime?.TotalMilliseconds;
        RemainingTime? life = milliseconds is null ? null : isSliding ? new(Expiration.Never, milliseconds.Value, 0) : new(milliseconds.Value, 0, 0);
        var cache = CacheOf(node);
        if (await cache.WriteAsync(key, write.Value, life, valueBytes))
        {
            write.Acknowledge(Simulation.Elapsed, HighestHeld(node, key), IsSettled() && IsQuick);
        }
        else
        {
            UnacknowledgedWrites += cache.HasStopped ? 0 : 1;
            Simulation.Trace.Write(Simulation.Elapsed, node.Name, $"its write of {key}, begun at {write.Start}, is not acknowledged");
        }
    }

    /// <summary>
    /// After quiet: every key read on every node is as promised; all owners hold the same; nobody holds what it does not own.
    /// </summary>
    public void CheckEverything()
    {
        Settle();
        Simulation.Run(TwoRounds);
        CheckReads();
        foreach (var key in History.Keys.Where(key => !History.HasSliding(key)))
        {
            CheckCopies(key);
        }
    }

    /// <summary>Every key, read on every node, is as promised.</summary>
    public void CheckReads()
    {
        foreach (var (key, node) in History.Keys.SelectMany(_ => Simulation.RunningNodes, (key, node) => (key, node)))
        {
            var start = Simulation.Elapsed;
            var read = CacheOf(node).ReadAsync(key);
            Simulation.RunUntil(() => read.IsCompleted, Options.Timeout * 3, "a read ends");
            var (answered, value) = read.Result;
            var wrong = answered ? History.Judge(key, value, start, Simulation.Elapsed) : $"{key} was not answered";
            History.Use(key, Simulation.Elapsed);
            Assert.That(wrong, Is.Null, () => $"On {node.Name}. {Simulation.Describe()}");
        }
    }

    /// <summary>Where nobody writes, no copy moves: what differs was mended, or is no difference.</summary>
    public void CheckQuiet()
    {
        var copies = 0;
        Members.Network.Sent = (_, message) => copies += message is StampedRequest { Request: ReplicateRequest or CompareRequest } ? 1 : 0;
        Simulation.Run(DistCache.Replication.AntiEntropy.Interval);
        Members.Network.Sent = null;
        Assert.That(copies, Is.Zero, () => $"Nobody writes, and copies are compared or sent. {Simulation.Describe()}");
    }

    public void CheckBudgets()
    {
        foreach (var node in Simulation.RunningNodes)
        {
            var memory = CacheOf(node).Memory;
            Assert.That(memory.Statistics.Bytes, Is.LessThanOrEqualTo(memory.SizeLimit), () => $"{node.Name} exceeds its budget. {Simulation.Describe()}");
        }
    }

    /// <summary>No read was wrong so far, and nothing was logged as an error.</summary>
    public void CheckErrors() =>
        Assert.That(Simulation.Trace.Errors, Is.Empty, () => $"{Simulation.Trace.Errors[0]} {Simulation.Describe()}");

    public void Dispose()
    {
        foreach (var node in Nodes)
        {
            CacheOf(node).Memory.Dispose();
        }

        Members.Dispose();
    }

    private async void OperateOnce(SimulatedNode node)
    {
        var era = EraLength is { } length ? (int)(Simulation.Elapsed / length) : 0;
        var key = KeyOf(era);
        switch (Simulation.Random.Next(10))
        {
            case < 2:
                await WriteAsync(node, key, valueBytes: ValueBytes);
                break;
            case 2:
                var lifetime = LongestLifetime * (0.02 + (0.98 * Simulation.Random.NextDouble()));
                await WriteAsync(node, key, lifetime: lifetime, isSliding: Simulation.Random.Next(4) == 0, valueBytes: ValueBytes);
                break;
            case 3:
                await WriteAsync(node, key, isRemove: true);
                break;
            default:
                await ReadAndJudgeAsync(node, KeyOf(Simulation.Random.Next(era + 1)));
                break;
        }
    }

    /// <summary>Of what the writer can know of: on its side of a cut, or of two clusters that have not found each other yet.</summary>
    private EntryVersion? HighestHeld(SimulatedNode writer, string key)
    {
        var routing = CacheOf(writer).Replicator.Ownership.Current;
        return Simulation.RunningNodes
            .Where(node => !node.IsPaused && routing.LiveMembers.Any(member => member.Name.ToString() == node.Name))
            .Max(node => CacheOf(node).Held(key)?.Version);
    }

    private string KeyOf(int era) => $"k{(era * _keys) + Simulation.Random.Next(_keys)}";

    private async Task ReadAndJudgeAsync(SimulatedNode node, string key)
    {
        var (start, hadStopped, isPromised) = (Simulation.Elapsed, CacheOf(node).HasStopped, JudgesWhileTablesDiffer || HasOneTable);
        var (answered, value) = await CacheOf(node).ReadAsync(key);
        Reads++;
        var wrong = answered ? History.Judge(key, value, start - Staleness, Simulation.Elapsed) : hadStopped || Staleness > TimeSpan.Zero ? null : $"{key} was not answered";
        History.Use(key, Simulation.Elapsed);
        if (JudgesReads && isPromised && (JudgesWhileTablesDiffer || HasOneTable) && wrong is not null)
        {
            Simulation.Trace.Errors.Add($"On {node.Name} at {start}: {wrong}");
        }
    }

    private void CheckCopies(string key)
    {
        var slot = Slot.Of(Encoding.UTF8.GetBytes(key));
        // A tombstone that all owners hold may go from one before it goes from the other: it is nothing, as an expired entry is.
        var copies = new List<(EntryVersion Version, int? Value)?>();
        foreach (var node in Simulation.RunningNodes)
        {
            var cache = CacheOf(node);
            var isOwner = cache.Replicator.Ownership.Current.StandingOf(slot) != Peers.Standing.Holder;
            if (isOwner)
            {
                copies.Add(cache.Held(key) is { Value: not null } held ? held : null);
            }
            else
            {
                Assert.That(cache.Held(key), Is.Null, () => $"{node.Name} holds {key}, which it does not own. {Simulation.Describe()}");
            }
        }

        Assert.That(copies.Distinct().Count(), Is.EqualTo(1), () => $"The copies of {key} differ: {string.Join(", ", copies)}. {Simulation.Describe()}");
    }
}
