using Microsoft.Extensions.Logging;

namespace DistCache.Tests.Membership;

/// <summary>Keeps what is logged, by whichever thread, with the exceptions.</summary>
internal sealed class LineLogger : ILogger
{
    private readonly List<string> _lines = [];

    public string[] Lines
    {
        get
        {
            lock (_lines)
            {
                return [.. _lines];
            }
        }
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (_lines)
        {
            _lines.Add(exception is null ? formatter(state, null) : $"{formatter(state, exception)} {exception}");
        }
    }
}
