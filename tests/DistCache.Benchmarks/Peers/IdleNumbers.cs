namespace DistCache.Benchmarks.Peers;

/// <summary>What a node costs that does nothing but know 24 others, which share one other process.</summary>
internal static class IdleNumbers
{
    private const int Others = 24;

    public static async Task RunAsync(Arguments arguments)
    {
        var time = TimeSpan.FromSeconds(arguments.Number("seconds", 20));
        var ports = BenchmarkNode.FreePorts(Others + 1);
        using var others = BenchmarkNode.StartProcess(1, ports, replicas: 1, WriteAck.Majority, count: Others, profile: ClusterProfile.Lan);
        using var node = await BenchmarkNode.StartAsync(0, ports, replicas: 1, WriteAck.Majority, profile: ClusterProfile.Lan);
        await node.WaitForOwnersAsync(Others + 1);

        // The takeovers of the start.
        await Task.Delay(TimeSpan.FromSeconds(arguments.Number("settle", 10)));
        var (here, there) = (Cost.OfThisProcess(), others.Cost());
        await Task.Delay(time);
        (here, there) = (Cost.OfThisProcess() - here, others.Cost() - there);
        Console.WriteLine(
            $"{Others + 1} nodes, idle: the node here {here.Processor / time.TotalSeconds:P2} of a core and {here.Bytes / time.TotalSeconds:N0} B/s allocated; each of {Others} in the other process {there.Processor / time.TotalSeconds / Others:P2}");
    }
}
