namespace DistCache.Benchmarks.Peers;

internal static class PeerCommands
{
    public static readonly IReadOnlyDictionary<string, Action<Arguments>> All = new Dictionary<string, Action<Arguments>>
    {
        ["get"] = arguments => GetNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["tls"] = arguments => TlsNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["node"] = arguments => BenchmarkNode.ServeAsync(arguments).GetAwaiter().GetResult(),
    };
}
