using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace DistCache.ClusterTests;

/// <summary>The process did not reply: it ended, or the reply took too long. What was asked may or may not have been done.</summary>
internal sealed class NodeGoneException(string message) : Exception(message);

/// <summary>The cache of the node threw; its message begins with the type of the exception.</summary>
internal sealed class NodeErrorException(string message) : Exception(message);

/// <summary>A test's hold on one node process.</summary>
internal sealed partial class NodeProcess : IAsyncDisposable
{
    /// <summary>For its start, a reply, its end: how long they take is not what is tested, and on a busy machine seconds are nothing.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // The numbers of these signals differ between systems.
    private static readonly int StopSignal = OperatingSystem.IsMacOS() ? 17 : 19;
    private static readonly int ContinueSignal = OperatingSystem.IsMacOS() ? 19 : 18;
    private const int TerminateSignal = 15;

    private readonly Process _process;
    private readonly Task _replies;
    private readonly Task _log;
    private readonly StringBuilder _errors = new();
    private readonly ConcurrentDictionary<long, TaskCompletionSource<Reply>> _pending = new();
    private readonly ConcurrentQueue<(long From, long To)> _starvations = new();
    private readonly TaskCompletionSource<Reply> _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _input = new();
    private long _lastId;

    private NodeProcess(string role, IEnumerable<string> configuration, string[] launcher)
    {
        string[] words =
        [
            .. launcher, Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet", typeof(NodeProcess).Assembly.Location, role, .. configuration,
        ];
        _process = Process.Start(new ProcessStartInfo(words[0], words[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Id = _process.Id;
        _replies = ReadRepliesAsync();
        _log = ReadErrorsAsync();
    }

    public int Id { get; }

    public bool HasExited => _process.HasExited;

    /// <summary>When it had no threads or no processors, in ticks of <see cref="Stopwatch"/>.</summary>
    public IReadOnlyCollection<(long From, long To)> Starvations => _starvations;

    /// <summary>All that it logged.</summary>
    public string Errors
    {
        get
        {
            lock (_errors)
            {
                return _errors.ToString();
            }
        }
    }

    /// <param name="role">A role of <see cref="NodeHost"/>.</param>
    /// <param name="configuration">The words after it.</param>
    /// <param name="launcher">A command that becomes the process, if it is not to start as it is.</param>
    public static NodeProcess Start(string role, IEnumerable<string> configuration, string[]? launcher = null) =>
        new(role, configuration, launcher ?? []);

    public async Task<Reply> WaitUntilReadyAsync()
    {
        try
        {
            return await _ready.Task.WaitAsync(Patience);
        }
        catch (Exception e) when (e is TimeoutException or NodeGoneException)
        {
            throw new NodeGoneException($"The node is not ready. {e.Message}{Environment.NewLine}{Errors}");
        }
    }

    public async Task<string?> GetAsync(string key) => (await GetAsync([key]))[0];

    public async Task<string?[]> GetAsync(string[] keys) => (await AskAsync(Command.Get, keys)).Values!;

    /// <summary>With how long it took the cache.</summary>
    public async Task<(string? Value, double Milliseconds)> TimeGetAsync(string key)
    {
        var reply = await AskAsync(Command.Get, [key]);
        return (reply.Values![0], reply.Milliseconds);
    }

    /// <summary>By a thread that blocks for each; with how long the longest call took, without what the machine took of that.</summary>
    public async Task<(string?[] Values, double Milliseconds)> GetBlockingAsync(string[] keys)
    {
        var reply = await AskAsync(Command.Block, keys);
        return (reply.Values!, reply.LongestMilliseconds!.Value);
    }

    public Task FixPoolAsync() => AskAsync(Command.FixPool, []);

    public Task SetAsync(string key, string value) => AskAsync(Command.Set, [key], value);

    /// <summary>Until it is acknowledged.</summary>
    public Task PrepareAsync(string key, string value) => Cluster.UntilAnsweredAsync(() => AskAsync(Command.Set, [key], value));

    public Task RemoveAsync(string key) => AskAsync(Command.Remove, [key]);

    public async Task<NodeView> ViewAsync() => (await AskAsync(Command.Members, [])).View!;

    public async Task<bool> IsSafeToStopAsync() => (await AskAsync(Command.IsSafe, [])).IsSafe!.Value;

    public async Task<long> CollectAsync() => (await AskAsync(Command.Collect, [])).HeapBytes!.Value;

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync()
    {
        Kill();
        await WaitForExitAsync();
    }

    /// <summary>The same, without waiting; of one that has exited already nothing.</summary>
    public void Kill() => _process.Kill();

    /// <summary>SIGTERM, as an orchestrator sends it; gives back the exit code.</summary>
    public async Task<int> StopAsync()
    {
        Signal(TerminateSignal);
        return await WaitForExitAsync();
    }

    /// <summary>SIGSTOP. It reads nothing now: what it is asked must not be more than its pipe holds (64 KiB), or this test stands still too.</summary>
    public void Pause() => Signal(StopSignal);

    /// <summary>SIGCONT.</summary>
    public void Continue() => Signal(ContinueSignal);

    public async Task<int> WaitForExitAsync()
    {
        using var timeout = new CancellationTokenSource(Patience);
        await _process.WaitForExitAsync(timeout.Token);
        await _replies;
        await _log;
        return _process.ExitCode;
    }

    /// <summary>Always by its own id, whatever the test did to it.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            await KillAsync();
        }

        _process.Dispose();
    }

    private async Task<Reply> AskAsync(string verb, string[] keys, string? value = null)
    {
        var id = Interlocked.Increment(ref _lastId);
        var pending = _pending[id] = new TaskCompletionSource<Reply>(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            Say(new Command(id, verb, keys, value));
            if (_replies.IsCompleted)
            {
                throw new NodeGoneException("The process has ended.");
            }

            var reply = await pending.Task.WaitAsync(Patience);
            return reply.Error is null ? reply : throw new NodeErrorException(reply.Error);
        }
        catch (Exception e) when (e is TimeoutException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            throw new NodeGoneException($"No reply to \"{verb}\": {e.Message}");
        }
        finally
        {
            _pending.TryRemove(id, out _);
        }
    }

    private void Say(Command command)
    {
        lock (_input)
        {
            _process.StandardInput.WriteLine(Json.Write(command));
            _process.StandardInput.Flush();
        }
    }

    private async Task ReadRepliesAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            // A process that was killed may leave half a line.
            if (!line.EndsWith('}'))
            {
                continue;
            }

            var reply = Json.Read<Reply>(line);
            if (reply.Starved is [var from, var to])
            {
                _starvations.Enqueue((from, to));
            }
            else if (reply.Id == 0)
            {
                _ready.TrySetResult(reply);
            }
            else if (_pending.TryGetValue(reply.Id, out var pending))
            {
                pending.TrySetResult(reply);
            }
        }

        var gone = new NodeGoneException("The process has ended.");
        _ready.TrySetException(gone);
        _ = _ready.Task.Exception;
        foreach (var pending in _pending.Values)
        {
            pending.TrySetException(gone);
        }
    }

    private async Task ReadErrorsAsync()
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
        {
            lock (_errors)
            {
                _errors.AppendLine(line);
            }
        }
    }

    private void Signal(int signal)
    {
        if (kill(Id, signal) != 0)
        {
            throw new InvalidOperationException($"Signal {signal} could not be sent: error {Marshal.GetLastPInvokeError()}.");
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int kill(int id, int signal);
}
