using System.Net;
using System.Net.Sockets;

namespace ThreeNodes;

/// <summary>The three nodes together: started on ports that are free, asked whether they agree, read through one by one, ended.</summary>
internal sealed class Trio(Arguments arguments, Ledger ledger) : IAsyncDisposable
{
    public const int Count = 3;
    private const int StartAttempts = 3;
    private const int KeysPerCheck = 500;

    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(30);

    private NodeProcess[] _nodes = [];

    public IReadOnlyList<NodeProcess> Nodes => _nodes;

    public IEnumerable<NodeProcess> Live => _nodes.Where(node => node.State == NodeState.Up);

    /// <summary>All see the three, and own by one table in which each of them has a share.</summary>
    public bool Agrees =>
        Live.Count() == Count
        && Live.All(node => node.Progress is { Members: Count, Share: > 0 })
        && Live.Select(node => node.Progress.TableHash).Distinct().Count() == 1;

    /// <summary>
    /// The system names three free ports, but between our letting go of one and a node's taking it, it may be gone: then once more.
    /// </summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var ports = FreePorts();
            _nodes = [.. Enumerable.Range(0, Count).Select(index => new NodeProcess(new NodeArguments(index, 1, 0, ports, arguments), ledger))];
            try
            {
                await Task.WhenAll(_nodes.Select(node => node.WaitUntilReadyAsync(StartTimeout, cancellationToken)));
                return;
            }
            catch (StoryException) when (attempt < StartAttempts)
            {
                await DisposeAsync();
            }
        }
    }

    /// <summary>
    /// Starts a killed node again: the same name and port, an empty memory, and on in the workload where its former life had got to.
    /// </summary>
    public async Task RestartAsync(int index, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var former = _nodes[index];
            await former.DisposeAsync();
            var life = former.Arguments with { Life = former.Arguments.Life + 1, FirstRequest = former.Progress.Requests };
            _nodes[index] = new NodeProcess(life, ledger);
            try
            {
                await _nodes[index].WaitUntilReadyAsync(StartTimeout, cancellationToken);
                return;
            }
            catch (StoryException) when (attempt < StartAttempts)
            {
                // Somebody else may have got the port for a moment.
            }
        }
    }

    public Task StopLoadAsync(CancellationToken cancellationToken) =>
        Task.WhenAll(Live.Select(node => node.StopLoadAsync(AnswerTimeout, cancellationToken)));

    /// <summary>Reads all keys through one node.</summary>
    public static async Task<List<Reading>> ReadAsync(NodeProcess node, int[] keys, CancellationToken cancellationToken)
    {
        List<Reading> readings = [];
        for (var first = 0; first < keys.Length; first += KeysPerCheck)
        {
            var part = keys.AsMemory(first, Math.Min(KeysPerCheck, keys.Length - first));
            readings.AddRange(await node.CheckAsync(part, AnswerTimeout, cancellationToken));
        }

        return readings;
    }

    /// <summary>A node that ended although nobody killed it ends the story.</summary>
    public void ThrowIfOneIsGone()
    {
        if (_nodes.FirstOrDefault(node => node.IsGone) is { } gone)
        {
            throw new StoryException($"{gone.Name} ended unexpectedly.");
        }
    }

    /// <summary>What the nodes logged, to show why a story failed.</summary>
    public string Errors() =>
        string.Concat(_nodes.Where(node => node.Errors().Length > 0).Select(node => $"{Environment.NewLine}{node.Name} logged:{Environment.NewLine}{node.Errors()}"));

    public async ValueTask DisposeAsync() => await Task.WhenAll(_nodes.Select(node => node.DisposeAsync().AsTask()));

    private static int[] FreePorts()
    {
        var sockets = Enumerable.Range(0, Count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToArray();
        foreach (var socket in sockets)
        {
            socket.Start();
        }

        var ports = sockets.Select(socket => ((IPEndPoint)socket.LocalEndpoint).Port).ToArray();
        foreach (var socket in sockets)
        {
            socket.Dispose();
        }

        return ports;
    }
}
