using System.Diagnostics;
using System.Reflection;

namespace ThreeNodes;

/// <summary>What a node is, as the director knows it.</summary>
internal enum NodeState
{
    Starting,
    Up,
    Killed,
}

/// <summary>The director's hold on one node process: starts it, talks to it, kills it. It never outlives the director.</summary>
internal sealed class NodeProcess : IAsyncDisposable
{
    private const int LinesOfErrorKept = 20;
    private static readonly TimeSpan ExitTimeout = TimeSpan.FromSeconds(15);

    private readonly Process _process;
    private readonly Ledger _ledger;
    private readonly Task _reading;
    private readonly Queue<string> _errors = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _lock = new();
    private TaskCompletionSource<Reading[]>? _check;
    private Progress _progress;
    private TimeSpan _longest;

    public NodeProcess(NodeArguments arguments, Ledger ledger)
    {
        Arguments = arguments;
        _ledger = ledger;
        _process = Process.Start(StartInfo(arguments)) ?? throw new StoryException($"{Name} could not be started.");
        _process.ErrorDataReceived += (_, e) => KeepError(e.Data);
        _process.BeginErrorReadLine();
        _reading = ReadAsync();
    }

    public NodeArguments Arguments { get; }

    public string Name => $"node-{Arguments.Index + 1}";

    public NodeState State { get; private set; }

    /// <summary>It went although nobody killed it.</summary>
    public bool IsGone => State != NodeState.Killed && _process.HasExited;

    /// <summary>Its latest report.</summary>
    public Progress Progress
    {
        get
        {
            lock (_lock)
            {
                return _progress;
            }
        }
    }

    /// <summary>The longest that any operation took since this was last called.</summary>
    public TimeSpan TakeLongest()
    {
        lock (_lock)
        {
            var longest = _longest;
            _longest = TimeSpan.Zero;
            return longest;
        }
    }

    public async Task WaitUntilReadyAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        await WaitAsync(_ready.Task, "become ready", timeout, cancellationToken);
        State = NodeState.Up;
    }

    public void StartLoad() => Say(Lines.Of(Lines.Start));

    /// <summary>When this ends, all that the node has done is in the ledger.</summary>
    public Task StopLoadAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        Say(Lines.Of(Lines.Stop));
        return WaitAsync(_stopped.Task, "end its load", timeout, cancellationToken);
    }

    /// <summary>Has the node read these keys. One call at a time.</summary>
    public async Task<Reading[]> CheckAsync(ReadOnlyMemory<int> keys, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var check = new TaskCompletionSource<Reading[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            _check = check;
        }

        Say(Lines.OfKeys(keys.Span));
        await WaitAsync(check.Task, "read the keys to check", timeout, cancellationToken);
        return await check.Task;
    }

    /// <summary>At once and without a word to it, as a crash would be: SIGKILL on Unix, TerminateProcess on Windows.</summary>
    public async Task KillAsync()
    {
        State = NodeState.Killed;
        _process.Kill();

        // What is still in the pipe had been reported before it died.
        await _reading;
    }

    /// <summary>What it last logged.</summary>
    public string Errors()
    {
        lock (_errors)
        {
            return string.Join(Environment.NewLine, _errors);
        }
    }

    /// <summary>Closing its input tells it to leave in an orderly way.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            _process.StandardInput.Close();
            using var timeout = new CancellationTokenSource(ExitTimeout);
            await _process.WaitForExitAsync(timeout.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            _process.Kill();
        }

        await _reading;
        _process.Dispose();
    }

    /// <summary>This very program again: by its own executable, or by "dotnet" if that is how it runs.</summary>
    private static ProcessStartInfo StartInfo(NodeArguments arguments)
    {
        var executable = Environment.ProcessPath ?? throw new StoryException("The path of this program is not known.");
        var info = new ProcessStartInfo(executable)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        if (Path.GetFileNameWithoutExtension(executable).Equals("dotnet", StringComparison.OrdinalIgnoreCase))
        {
            info.ArgumentList.Add(Assembly.GetExecutingAssembly().Location);
        }

        foreach (var word in arguments.ToWords())
        {
            info.ArgumentList.Add(word);
        }

        return info;
    }

    private async Task ReadAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            var words = Lines.Split(line);
            switch (words.FirstOrDefault())
            {
                case Lines.Ready:
                    _ready.TrySetResult();
                    break;
                case Lines.Progressed:
                    Take(Lines.Progress(words));
                    break;
                case Lines.Wrote:
                    foreach (var write in Lines.Writes(words))
                    {
                        _ledger.Add(write);
                    }

                    break;
                case Lines.Checked:
                    _check?.TrySetResult([.. Lines.Readings(words)]);
                    break;
                case Lines.Stopped:
                    _stopped.TrySetResult();
                    break;
            }
        }

        // Its output has ended, so it has: whoever waits for a word from it waits in vain.
        var exception = new StoryException($"{Name} ended.");
        _ready.TrySetException(exception);
        _stopped.TrySetException(exception);
        _check?.TrySetException(exception);
        _ = (_ready.Task.Exception, _stopped.Task.Exception, _check?.Task.Exception);
    }

    private void Take(in Progress progress)
    {
        lock (_lock)
        {
            _progress = progress;
            _longest = progress.Longest > _longest ? progress.Longest : _longest;
        }
    }

    private async Task WaitAsync(Task task, string what, TimeSpan timeout, CancellationToken cancellationToken)
    {
        try
        {
            await task.WaitAsync(timeout, cancellationToken);
        }
        catch (TimeoutException)
        {
            throw new StoryException($"{Name} did not {what} within {timeout.TotalSeconds:F0} s.");
        }
    }

    private void Say(string line)
    {
        try
        {
            _process.StandardInput.WriteLine(line);
            _process.StandardInput.Flush();
        }
        catch (IOException)
        {
            throw new StoryException($"{Name} ended.");
        }
    }

    private void KeepError(string? line)
    {
        lock (_errors)
        {
            if (line is null)
            {
                return;
            }

            _errors.Enqueue(line);
            if (_errors.Count > LinesOfErrorKept)
            {
                _errors.Dequeue();
            }
        }
    }
}
