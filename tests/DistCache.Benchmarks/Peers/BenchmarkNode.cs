using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace DistCache.Benchmarks.Peers;

/// <summary>A node of the measured cluster: in this process, or in another one that this program starts.</summary>
internal sealed class BenchmarkNode : IDisposable
{
    private readonly IHost _host;

    private BenchmarkNode(IHost host) => _host = host;

    public IBufferDistributedCache Cache => (IBufferDistributedCache)_host.Services.GetRequiredService<IDistributedCache>();

    public DistCacheCluster Cluster => _host.Services.GetRequiredService<DistCacheCluster>();

    /// <param name="index">Which of the ports is its own.</param>
    /// <param name="ports">Of all nodes.</param>
    /// <param name="replicas">Copies beside the primary's.</param>
    /// <param name="ack">What a write waits for.</param>
    /// <param name="tls">A file with a certificate that signed itself, and its key; empty for plain text.</param>
    /// <param name="profile">How closely members watch each other.</param>
    public static async Task<BenchmarkNode> StartAsync(
        int index, IReadOnlyList<int> ports, int replicas, WriteAck ack, string tls = "", ClusterProfile profile = ClusterProfile.Fast)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.ClearProviders();
        builder.Services.AddDistCache(options =>
        {
            options.Cluster.Listen = $"127.0.0.1:{ports[index]}";
            options.Cluster.NodeName = $"node-{index}";
            options.Cluster.Profile = profile;
            options.Memory.SizeLimit = 512 << 20;
            options.Replication.ReplicaCount = replicas;
            options.Replication.WriteAck = ack;
            options.Replication.OnReadFailure = OnReadFailure.Throw;

            // A value of 64 MiB takes its time where others keep the processors busy; what idles (Lan) is as an application has it.
            if (profile != ClusterProfile.Lan)
            {
                options.Replication.Timeout = TimeSpan.FromSeconds(10);
            }

            if (tls.Length > 0)
            {
                options.Cluster.Tls.CertificatePath = options.Cluster.Tls.AuthorityPath = tls;
            }

            foreach (var port in ports)
            {
                options.Cluster.Seeds.Add($"127.0.0.1:{port}");
            }
        });
        var host = builder.Build();
        await host.StartAsync();
        return new BenchmarkNode(host);
    }

    /// <summary>
    /// What the other process does: be a node, or several, until its standard input ends, which it does when the one that started it ends.
    /// Each line that it reads it answers with what it has cost so far.
    /// </summary>
    public static async Task ServeAsync(Arguments arguments)
    {
        var ports = arguments.Text("ports", "").Split(',').Select(port => int.Parse(port, CultureInfo.InvariantCulture)).ToArray();
        var first = arguments.Number("index", 1);
        var nodes = await Task.WhenAll(Enumerable.Range(first, arguments.Number("count", 1)).Select(index => StartAsync(
            index,
            ports,
            arguments.Number("replicas", 0),
            Enum.Parse<WriteAck>(arguments.Text("ack", "Majority")),
            arguments.Text("tls", ""),
            Enum.Parse<ClusterProfile>(arguments.Text("profile", "Fast")))));
        Console.WriteLine("ready");
        while (await Console.In.ReadLineAsync() is not null)
        {
            Console.WriteLine(Cost.OfThisProcess());
        }

        Array.ForEach(nodes, node => node.Dispose());
    }

    /// <summary>Starts this program again as another node.</summary>
    public static OtherNode StartProcess(
        int index, IReadOnlyList<int> ports, int replicas, WriteAck ack, string tls = "", int count = 1, ClusterProfile profile = ClusterProfile.Fast)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        string[] words = ["peer", "node", $"index={index}", $"ports={string.Join(',', ports)}", $"replicas={replicas}", $"ack={ack}", $"tls={tls}", $"count={count}", $"profile={profile}"];
        foreach (var word in words)
        {
            start.ArgumentList.Add(word);
        }

        var process = Process.Start(start)!;
        if (process.StandardOutput.ReadLine() != "ready")
        {
            throw new InvalidOperationException("The other node did not start.");
        }

        return new OtherNode(process);
    }

    public static int[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToList();
        listeners.ForEach(listener => listener.Start());
        var ports = listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port).ToArray();
        listeners.ForEach(listener => listener.Stop());
        return ports;
    }

    public async Task WaitForOwnersAsync(int count)
    {
        for (var i = 0; i < 600; i++)
        {
            if (Cluster.View.Members.Count(member => member.ShareOfSlots > 0) == count)
            {
                // The other side may be a moment behind, and so may the takeover.
                await Task.Delay(1_000);
                return;
            }

            await Task.Delay(50);
        }

        throw new TimeoutException($"There are not {count} owners after 30 s.");
    }

    public void Dispose() => _host.Dispose();
}
