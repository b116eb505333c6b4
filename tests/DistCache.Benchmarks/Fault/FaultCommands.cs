namespace DistCache.Benchmarks.Fault;

/// <summary>Each runs in the first of three network namespaces, where they can be had: there a link can be cut and the bytes of a node counted.</summary>
internal static class FaultCommands
{
    public static readonly IReadOnlyDictionary<string, Action<Arguments>> All = new Dictionary<string, Action<Arguments>>
    {
        ["first"] = arguments => Place.RunThere("first", arguments, FirstAnswerNumbers.RunAsync),
        ["restore"] = arguments => Place.RunThere("restore", arguments, RestoreNumbers.RunAsync),
        ["rest"] = arguments => Place.RunThere("rest", arguments, RestNumbers.RunAsync),
        ["heal"] = arguments => Place.RunThere("heal", arguments, HealNumbers.RunAsync),
        ["rolling"] = arguments => Place.RunThere("rolling", arguments, RollingNumbers.RunAsync),
        ["tombstones"] = arguments => TombstoneNumbers.RunAsync(arguments).GetAwaiter().GetResult(),
        ["node"] = arguments => FaultNode.ServeAsync(arguments).GetAwaiter().GetResult(),
    };
}
