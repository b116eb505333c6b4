using System.Diagnostics;
using DistCache.ClusterTests;

namespace DistCache.Benchmarks.Fault;

/// <summary>Where three nodes are: each in a network namespace of its own, or all on loopback.</summary>
internal sealed class Place
{
    public const int Nodes = 3;
    private const int SwitchedPort = 7_600;

    private Place(SwitchedNetwork? network, string[] addresses)
    {
        Network = network;
        Addresses = addresses;
    }

    /// <summary>Null on loopback.</summary>
    public SwitchedNetwork? Network { get; }

    public string[] Addresses { get; private set; }

    /// <summary>Runs the command in the first namespace, as another process of this program; here, if there are none.</summary>
    public static void RunThere(string command, Arguments arguments, Func<Place, Arguments, Task> run)
    {
        if (arguments.Text("network", "") is { Length: > 0 } name)
        {
            var inside = new Place(new SwitchedNetwork(name, Nodes), [.. Enumerable.Range(0, Nodes).Select(index => $"{SwitchedNetwork.AddressOf(index)}:{SwitchedPort}")]);
            EndWithStarter();
            run(inside, arguments).GetAwaiter().GetResult();
        }
        else if (SwitchedNetwork.FindObstacle() is { } obstacle)
        {
            Console.WriteLine($"On loopback, no link is cut: {obstacle}.");
            run(new Place(null, FreeAddresses()), arguments).GetAwaiter().GetResult();
        }
        else
        {
            using var network = new SwitchedNetwork(Nodes);
            using var process = Start(network.LauncherOf(0), ["fault", command, $"network={network.Name}", .. arguments.Words], isAsked: true);
            process.WaitForExit();
        }
    }

    /// <summary>Starts this program again as a node.</summary>
    public Process StartNode(int index, Arguments arguments) => Start(
        Network?.LauncherOf(index) ?? [], ["fault", "node", $"index={index}", $"addresses={string.Join(',', Addresses)}", .. arguments.Words], isAsked: true, isAnswering: true);

    /// <summary>Ports that somebody just left may be in use for a while.</summary>
    public void Refresh() => Addresses = Network is null ? FreeAddresses() : Addresses;

    private static string[] FreeAddresses() => [.. Peers.BenchmarkNode.FreePorts(Nodes).Select(port => $"127.0.0.1:{port}")];

    /// <summary>The standard input ends with the process that started this one: nothing may be left behind.</summary>
    private static void EndWithStarter() => new Thread(static () =>
    {
        while (Console.In.ReadLine() is not null)
        {
        }

        Environment.Exit(1);
    }) { IsBackground = true }.Start();

    private static Process Start(string[] launcher, string[] words, bool isAsked = false, bool isAnswering = false)
    {
        string[] all = [.. launcher, Environment.ProcessPath!, .. words];
        return Process.Start(new ProcessStartInfo(all[0], all[1..]) { RedirectStandardInput = isAsked, RedirectStandardOutput = isAnswering })!;
    }
}
