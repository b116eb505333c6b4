using Microsoft.Extensions.Logging;

namespace DistCache.ClusterTests;

/// <summary>
/// Reads in the library's log whether this node is still fetching what it owns: a table change (300) names the slots that are to be taken
/// over, the end of a takeover (301) the table. What a test kills next depends on it, since only what has its copies again may lose one.
/// </summary>
internal sealed class TakeoverWatch : ILoggerProvider, ILogger
{
    private const int TableChanged = 300;
    private const int TakeoverComplete = 301;

    private readonly Lock _lock = new();
    private ulong _table;
    private bool _isImporting;

    public bool IsImporting
    {
        get
        {
            lock (_lock)
            {
                return _isImporting;
            }
        }
    }

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (eventId.Id is not (TableChanged or TakeoverComplete) || state is not IReadOnlyList<KeyValuePair<string, object?>> values)
        {
            return;
        }

        var hash = (ulong)Value(values, "Hash");
        lock (_lock)
        {
            if (eventId.Id == TableChanged)
            {
                (_table, _isImporting) = (hash, (int)Value(values, "Slots") > 0);
            }
            else if (hash == _table)
            {
                _isImporting = false;
            }
        }
    }

    public void Dispose()
    {
    }

    private static object Value(IReadOnlyList<KeyValuePair<string, object?>> values, string name) =>
        values.First(value => value.Key == name).Value!;
}
