using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace DistCache.ClusterTests;

/// <summary>
/// The node processes of one test, on ports of this machine's loopback or each at its own link of a network, with profile Fast.
/// <see cref="ClusterTest"/> ends them and shows what they logged.
/// </summary>
internal sealed class Cluster : IAsyncDisposable
{
    /// <summary>
    /// For a change of profile Fast to be seen and to be over, at the worst: a round of probes in which the fault comes last, (n - 1) x 0.5 s,
    /// nine times as long at a node that takes itself for slow (13.5 s with four); the longest suspicion, 8 s; the settle window, put off twice,
    /// 3 s; the rest is for fetching what is owned then. A seed is dialled again, or members are exchanged, within 15 s, and then a window follows.
    /// </summary>
    public static readonly TimeSpan AgreeTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(50);
    private const int StartAttempts = 3;
    private const int SwitchedPort = 7_600;

    private readonly string[] _settings;
    private readonly string _role;
    private readonly SwitchedNetwork? _network;
    private readonly string[] _addresses;
    private readonly NodeProcess?[] _nodes;
    private readonly string?[] _urls;
    private readonly List<(int Index, NodeProcess Node)> _lives = [];

    /// <param name="count">How many nodes there can be; none is started yet.</param>
    /// <param name="role">A role of <see cref="NodeHost"/>.</param>
    /// <param name="network">Where they are; null for this machine's loopback.</param>
    /// <param name="settings">Further configuration for all of them.</param>
    public Cluster(int count, string role, SwitchedNetwork? network, params string[] settings)
    {
        _role = role;
        _network = network;
        _settings = settings;
        _addresses = network is null
            ? [.. FreePorts(count).Select(port => $"127.0.0.1:{port}")]
            : [.. Enumerable.Range(0, count).Select(index => $"{SwitchedNetwork.AddressOf(index)}:{SwitchedPort}")];
        _nodes = new NodeProcess?[count];
        _urls = new string?[count];
    }

    public int Count => _nodes.Length;

    /// <summary>The indexes of the nodes that are started and were neither killed nor stopped.</summary>
    public IEnumerable<int> Running => Enumerable.Range(0, Count).Where(index => _nodes[index] is { HasExited: false });

    /// <summary>When a node had no threads or no processors, in all its lives, in ticks of <see cref="Stopwatch"/>.</summary>
    public IEnumerable<(int Index, long From, long To)> Starvations =>
        _lives.SelectMany(life => life.Node.Starvations.Select(starvation => (life.Index, starvation.From, starvation.To)));

    public NodeProcess this[int index] => _nodes[index] ?? throw new InvalidOperationException($"{NameOf(index)} was not started.");

    public static string NameOf(int index) => $"node-{index + 1}";

    public string UrlOf(int index) => _urls[index]!;

    public async Task StartAsync(int index)
    {
        for (var attempt = 1; ; attempt++)
        {
            var node = NodeProcess.Start(_role, SettingsOf(index), _network?.LauncherOf(index));
            lock (_lives)
            {
                _lives.Add((index, node));
            }

            _nodes[index] = node;
            try
            {
                _urls[index] = (await node.WaitUntilReadyAsync()).Url;
                return;
            }
            catch (NodeGoneException e) when (attempt < StartAttempts && e.Message.Contains("in use", StringComparison.OrdinalIgnoreCase))
            {
                // Between the test's letting go of the port and the node's taking it, somebody else had it for a moment.
            }
        }
    }

    public async Task StartAllAsync()
    {
        await Task.WhenAll(Enumerable.Range(0, Count).Select(StartAsync));
        await WaitUntilAgreedAsync();
    }

    public string[] SettingsOf(int index) =>
    [
        "--DistCache:Cluster:Name=cluster-tests",
        "--DistCache:Cluster:Profile=Fast",

        // So that a read which nobody answered is told apart from an entry that is not there.
        "--DistCache:Replication:OnReadFailure=Throw",
        $"--DistCache:Cluster:NodeName={NameOf(index)}",
        $"--DistCache:Cluster:Listen={_addresses[index]}",
        .. _addresses.Select((address, seed) => $"--DistCache:Cluster:Seeds:{seed}={address}"),
        .. _settings,
    ];

    /// <summary>
    /// The running nodes see each other alive, in the same lives, and nobody else, own by one table, and have fetched what they own.
    /// </summary>
    /// <param name="areAllOwners">
    /// Each has a share of the table too; not so after repeated faults, since a member that died twice owns nothing until it has been quiet.
    /// </param>
    public Task WaitUntilAgreedAsync(bool areAllOwners = true) => WaitUntilAsync("the nodes agree", () => IsAgreedAsync(areAllOwners), AgreeTimeout);

    public async Task<bool> IsAgreedAsync(bool areAllOwners = true)
    {
        var running = Running.ToArray();
        var names = running.Select(NameOf).Order(StringComparer.Ordinal).ToArray();
        var views = await Task.WhenAll(running.Select(index => this[index].ViewAsync()));
        return views.Select(view => view.TableHash).Distinct().Count() == 1
            && views.Select(view => string.Join(' ', view.Alive.Select(member => member.Incarnation))).Distinct().Count() == 1
            && views.All(view => !view.IsImporting
                && view.Alive.Select(member => member.Name).Order(StringComparer.Ordinal).SequenceEqual(names)
                && view.Members.All(member => member.State == MemberState.Alive ? !areAllOwners || member.Share > 0 : member.Share == 0));
    }

    /// <summary>
    /// Every entry has all its copies where they belong, and whichever node is killed next takes none with it. On a busy machine an owner may
    /// have been passed over, and a write is acknowledged with the copies of those who can be reached.
    /// </summary>
    public Task WaitUntilSafeAsync() => WaitUntilAsync(
        "each node may stop",
        async () => (await Task.WhenAll(Running.Select(index => this[index].IsSafeToStopAsync()))).All(isSafe => isSafe),
        AgreeTimeout);

    /// <summary>
    /// For what only prepares, or looks at the end: a call that ran out of time, as the first of a process may on a busy machine, is made
    /// again; one with a wrong answer is not.
    /// </summary>
    public static async Task<T> UntilAnsweredAsync<T>(Func<Task<T>> call)
    {
        for (var clock = Stopwatch.StartNew(); ;)
        {
            try
            {
                return await call();
            }
            catch (NodeErrorException e) when (clock.Elapsed < AgreeTimeout && e.Message.StartsWith(nameof(DistCacheUnavailableException), StringComparison.Ordinal))
            {
                await Task.Delay(PollInterval);
            }
        }
    }

    /// <summary>Polls, since only the other process knows; bounded, and a failure says what the nodes saw.</summary>
    public async Task WaitUntilAsync(string what, Func<Task<bool>> condition, TimeSpan timeout)
    {
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            if (clock.Elapsed > timeout)
            {
                Assert.Fail($"Not so within {timeout.TotalSeconds:F0} s: {what}.{Environment.NewLine}{await DescribeAsync()}");
            }

            await Task.Delay(PollInterval);
        }
    }

    public async ValueTask DisposeAsync()
    {
        // All of them before the first wait: one that is slow to end leaves none of the others behind.
        _lives.ForEach(life => life.Node.Kill());
        foreach (var (_, node) in _lives)
        {
            await node.DisposeAsync();
        }

        _network?.Dispose();
    }

    public void ShowLogs()
    {
        foreach (var (index, node) in _lives)
        {
            TestContext.Out.WriteLine($"--- {NameOf(index)}, process {node.Id}, logged:{Environment.NewLine}{node.Errors}");
        }
    }

    /// <summary>Ports that were free a moment ago.</summary>
    public static int[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToArray();
        foreach (var listener in listeners)
        {
            listener.Start();
        }

        var ports = listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port).ToArray();
        foreach (var listener in listeners)
        {
            listener.Dispose();
        }

        return ports;
    }

    private async Task<string> DescribeAsync()
    {
        List<string> lines = [];
        foreach (var index in Running)
        {
            try
            {
                var view = await this[index].ViewAsync();
                var members = view.Members.Select(member => $"{member.Name} {member.State} {member.Share:P0}");
                lines.Add($"{NameOf(index)}: table {view.TableHash:x16}{(view.IsImporting ? ", importing" : "")}; {string.Join(", ", members)}");
            }
            catch (NodeGoneException e)
            {
                lines.Add($"{NameOf(index)}: {e.Message}");
            }
        }

        return string.Join(Environment.NewLine, lines);
    }
}
