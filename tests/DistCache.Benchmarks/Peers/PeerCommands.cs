namespace DistCache.Benchmarks.Peers;

internal static class PeerCommands
{
    public static readonly IReadOnlyDictionary<string, Action<Arguments>> All = new Dictionary<string, Action<Arguments>>
    {
        ["get"] = arguments => GetNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["set"] = arguments => SetNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["large"] = arguments => LargeNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["blocking"] = arguments => BlockingNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["idle"] = arguments => IdleNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["tls"] = arguments => TlsNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["node"] = arguments => BenchmarkNode.ServeAsync(arguments).GetAwaiter().GetResult(),
    };
}
