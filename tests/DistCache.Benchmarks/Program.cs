using DistCache.Benchmarks;

// One group of numbers a folder, one number a command: dotnet run -c Release --project tests/DistCache.Benchmarks -- memory overhead
var groups = new Dictionary<string, IReadOnlyDictionary<string, Action<Arguments>>>
{
    ["memory"] = DistCache.Benchmarks.Memory.MemoryCommands.All,
    ["fault"] = DistCache.Benchmarks.Fault.FaultCommands.All,
    ["peer"] = DistCache.Benchmarks.Peers.PeerCommands.All,
};

if (args.Length >= 2 && groups.TryGetValue(args[0], out var commands) && commands.TryGetValue(args[1], out var run))
{
    run(new Arguments(args[2..]));
    return 0;
}

Console.Error.WriteLine("Usage: GROUP COMMAND [name=value ...], with GROUP COMMAND one of");
foreach (var (group, members) in groups)
{
    Console.Error.WriteLine($"  {group}  {string.Join(' ', members.Keys)}");
}

return 2;
