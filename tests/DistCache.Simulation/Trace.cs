using System.Globalization;
using Microsoft.Extensions.Logging;

namespace DistCache.Simulation;

/// <summary>What happened to whom, the last lines of it, for a failure's message.</summary>
internal sealed class Trace
{
    private const int MaximumLines = 400;

    private readonly Queue<string> _lines = [];

    /// <summary>Of all lines, in order (FNV-1a).</summary>
    public ulong Digest { get; private set; } = 14_695_981_039_346_656_037;

    /// <summary>Lines at Error, and exceptions: none is expected unless a scenario says so.</summary>
    public List<string> Errors { get; } = [];

    /// <summary>Prints every line as it comes.</summary>
    public static bool IsLive { get; } = Environment.GetEnvironmentVariable("DISTCACHE_TRACE") == "1";

    public void Write(TimeSpan at, string who, string what)
    {
        var line = string.Create(CultureInfo.InvariantCulture, $"[{at.TotalSeconds,10:F3}] {who,-6} {what}");
        foreach (var character in line)
        {
            Digest = (Digest ^ character) * 1_099_511_628_211;
        }

        _lines.Enqueue(line);
        if (_lines.Count > MaximumLines)
        {
            _lines.Dequeue();
        }

        if (IsLive)
        {
            TestContext.Progress.WriteLine(line);
        }
    }

    public override string ToString() => string.Join('\n', _lines);
}

/// <summary>Writes a node's log into the trace.</summary>
internal sealed class TraceLogger(Simulation simulation, string node) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        simulation.CheckThread();
        var line = exception is null ? formatter(state, exception) : $"{formatter(state, exception)} {exception}";
        simulation.Trace.Write(simulation.Elapsed, node, line);
        if (logLevel >= LogLevel.Error)
        {
            simulation.Trace.Errors.Add($"{node}: {line}");
        }
    }
}
