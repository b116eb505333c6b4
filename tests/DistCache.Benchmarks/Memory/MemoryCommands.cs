namespace DistCache.Benchmarks.Memory;

internal static class MemoryCommands
{
    public static IReadOnlyDictionary<string, Action<Arguments>> All { get; } = new Dictionary<string, Action<Arguments>>
    {
        ["overhead"] = OverheadNumbers.Run,
        ["overhead-of"] = OverheadNumbers.RunOne,
        ["throughput"] = ThroughputNumbers.Run,
        ["hot"] = HotNumbers.Run,
        ["churn"] = ChurnNumbers.Run,
        ["churn-of"] = ChurnNumbers.RunOne,
        ["load"] = LoadNumbers.Run,
        ["expire"] = ExpireNumbers.Run,
        ["traces"] = TraceNumbers.Run,
    };
}
