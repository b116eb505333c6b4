using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;

namespace DistCache.Diagnostics;

/// <summary>
/// The application's log, whose exceptions go nowhere: Microsoft's passes on what its providers throw. Much is logged on threads where nobody could
/// catch it, and in the middle of a change that has to be completed; a cache that works is worth more than a line.
/// </summary>
[SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "It is the log itself that fails: nobody is left to tell.")]
internal sealed class SafeLogger(ILogger inner) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel)
    {
        try
        {
            return inner.IsEnabled(logLevel);
        }
        catch (Exception)
        {
            return false;
        }
    }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        try
        {
            inner.Log(logLevel, eventId, state, exception, formatter);
        }
        catch (Exception)
        {
        }
    }
}
