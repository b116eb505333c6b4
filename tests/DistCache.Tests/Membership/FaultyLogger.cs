using Microsoft.Extensions.Logging;

namespace DistCache.Tests.Membership;

internal sealed class FaultyLogger : ILogger
{
    private int _lines;

    public bool IsFaulty { get; set; } = true;

    /// <summary>That were not taken.</summary>
    public int Lines => _lines;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsFaulty)
        {
            Interlocked.Increment(ref _lines);
            throw new InvalidOperationException("The log is full.");
        }
    }
}
