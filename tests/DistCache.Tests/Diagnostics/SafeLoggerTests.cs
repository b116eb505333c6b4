using DistCache.Diagnostics;
using DistCache.Tests.Membership;
using Microsoft.Extensions.Logging;

namespace DistCache.Tests.Diagnostics;

public sealed class SafeLoggerTests
{
    [Test]
    public void Line_OfALogThatTakesIt_IsWritten()
    {
        var log = new LineLogger();
        Log.BackgroundFailed(new SafeLogger(log), "Part", new InvalidOperationException("Why."));
        Assert.That(log.Lines.Single(), Does.StartWith("Part").And.Contain("Why."));
    }

    [Test]
    public void Line_OfALogThatThrows_IsLostAndNothingElse()
    {
        var log = new FaultyLogger();
        Assert.That(() => Log.BackgroundFailed(new SafeLogger(log), "Part", new InvalidOperationException("Why.")), Throws.Nothing);
        Assert.That(log.Lines, Is.EqualTo(1));
    }

    /// <summary>A filter of the application may throw as well.</summary>
    [Test]
    public void Level_OfALogThatThrows_IsOff()
    {
        using var factory = LoggerFactory.Create(builder => builder.AddProvider(new StubbornProvider()));
        ILogger log = new SafeLogger(factory.CreateLogger("DistCache"));
        Assert.That(log.IsEnabled(LogLevel.Critical), Is.False);
    }

    private sealed class StubbornProvider : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => throw new InvalidOperationException("Ask somebody else.");

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
        }

        public void Dispose()
        {
        }
    }
}
