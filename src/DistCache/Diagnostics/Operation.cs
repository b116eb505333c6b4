using System.Diagnostics;

namespace DistCache.Diagnostics;

/// <summary>One operation of the application, from its beginning to its <see cref="Dispose"/>: an activity, a count and a duration.</summary>
internal sealed class Operation : IDisposable
{
    public const string Get = "get";
    public const string Set = "set";
    public const string Remove = "remove";
    public const string Refresh = "refresh";

    private readonly string _name;
    private readonly long _startedAt = Stopwatch.GetTimestamp();
    private readonly Activity? _activity;
    private string _result = "failed";

    private Operation(string name)
    {
        _name = name;
        _activity = Tracing.Begin(name);
    }

    /// <summary>Whether anybody listens. If not, an operation costs this question.</summary>
    public static bool IsObserved => Metrics.AreOperationsObserved || Tracing.IsListenedTo;

    public static Operation Begin(string name) => new(name);

    /// <summary>It did what it was asked to; without this it failed.</summary>
    public void Succeeded() => _result = "ok";

    public bool Found(bool isHit)
    {
        _result = isHit ? "hit" : "miss";
        return isHit;
    }

    public byte[]? Found(byte[]? value)
    {
        Found(value is not null);
        return value;
    }

    public void Dispose()
    {
        Metrics.OperationEnded(_name, _result, Stopwatch.GetElapsedTime(_startedAt));
        if (_result == "failed")
        {
            _activity?.SetStatus(ActivityStatusCode.Error);
        }

        _activity?.SetTag("distcache.result", _result);
        _activity?.Dispose();
    }
}
