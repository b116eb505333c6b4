using System.Globalization;
using DistCache.Diagnostics;
using DistCache.Hosting;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace DistCache.Benchmarks.Fault;

/// <summary>A node with profile Fast and one replica: the one in this process, or the whole of another one.</summary>
internal sealed class FaultNode : IAsyncDisposable
{
    private readonly IHost _host;

    private FaultNode(IHost host) => _host = host;

    public IBufferDistributedCache Cache => (IBufferDistributedCache)_host.Services.GetRequiredService<IDistributedCache>();

    public ClusterView View => _host.Services.GetRequiredService<DistCacheCluster>().View;

    /// <summary>A round of anti-entropy, now.</summary>
    public Task CompareAsync() => _host.Services.GetRequiredService<Node>().Replicator.CompareAsync();

    public NodeReading Reading => _host.Services.GetRequiredService<Node>().Read();

    public static async Task<FaultNode> StartAsync(int index, string[] addresses, Arguments arguments)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.ClearProviders();
        builder.Services.AddDistCache(options =>
        {
            options.Cluster.Name = "fault";
            options.Cluster.Listen = addresses[index];
            options.Cluster.NodeName = NameOf(index);
            options.Cluster.Profile = ClusterProfile.Fast;
            options.Memory.SizeLimit = (long)arguments.Number("megabytes", 512) << 20;
            options.Replication.OnReadFailure = OnReadFailure.Throw;
            Array.ForEach(addresses, options.Cluster.Seeds.Add);
        });
        var host = builder.Build();
        await host.StartAsync();
        return new FaultNode(host);
    }

    public static string NameOf(int index) => $"node-{index}";

    /// <summary>
    /// Another process: a node until its standard input ends, that answers "ready" and then each line with what it is like, or, to "older n v",
    /// how many of n keys it shows with another value than v, and how many it does not answer. The line "stop" stops it gracefully.
    /// </summary>
    public static async Task ServeAsync(Arguments arguments)
    {
        await using var node = await StartAsync(arguments.Number("index", 1), arguments.Text("addresses", "").Split(','), arguments);
        Console.WriteLine("ready");
        while (await Console.In.ReadLineAsync() is { } line && line != "stop")
        {
            if (line.Split(' ') is ["older", var count, var filling])
            {
                var (older, unanswered) = await Entries.CountOlderAsync(
                    node.Cache, int.Parse(count, CultureInfo.InvariantCulture), byte.Parse(filling, CultureInfo.InvariantCulture));
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{older} {unanswered}"));
                continue;
            }

            var reading = node.Reading;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{node.View.TableHash} {reading.ImportingSlots} {reading.Entries} {reading.UsedBytes}"));
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }
}
