using System.Diagnostics;

namespace DistCache.Diagnostics;

/// <summary>The activity source "DistCache": one activity for each operation of the application. No tag names a key or a value.</summary>
internal static class Tracing
{
    public const string SourceName = "DistCache";

    private static readonly ActivitySource Source = new(SourceName);

    public static bool IsListenedTo => Source.HasListeners();

    /// <summary>Null if nobody wants this one.</summary>
    public static Activity? Begin(string operation) => Source.StartActivity($"distcache {operation}", ActivityKind.Client);
}
