using System.Diagnostics.Metrics;
using DistCache;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace ThreeNodes;

/// <summary>
/// One of the three nodes: an ordinary host with <c>AddDistCache</c>, which is all that an application needs, and a loop that does what
/// the director says.
/// </summary>
internal static class NodeProgram
{
    /// <summary>More than a key, a value of the largest size and what the cache adds to them take.</summary>
    private const long RoomPerKeyBytes = 1_400;

    private const long RoomBytes = 64L << 20;

    public static async Task<int> RunAsync(NodeArguments arguments)
    {
        var workload = Workload.Create(arguments.User);
        var builder = Host.CreateApplicationBuilder();

        // Standard output belongs to the director; what is logged goes to standard error, and it shows that if a node fails.
        builder.Logging.ClearProviders().AddSimpleConsole(console => console.SingleLine = true).SetMinimumLevel(LogLevel.Warning);
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.AddDistCache(options =>
        {
            options.Cluster.Name = "three-nodes";
            options.Cluster.NodeName = $"node-{arguments.Index + 1}";
            options.Cluster.Listen = $"127.0.0.1:{arguments.Ports[arguments.Index]}";
            options.Cluster.Profile = ClusterProfile.Fast;
            foreach (var port in arguments.Ports)
            {
                options.Cluster.Seeds.Add($"127.0.0.1:{port}");
            }

            options.Replication.ReplicaCount = arguments.User.Replicas;

            // The check at the end must be able to tell "could not be asked" from "is not there".
            options.Replication.OnReadFailure = OnReadFailure.Throw;

            // Every node has room for every key, so nothing is evicted: what is missing at the end was lost.
            options.Memory.SizeLimit = RoomBytes + (workload.KeyCount * RoomPerKeyBytes);
        });

        using var evictions = new EvictionCounter();
        using var host = builder.Build();
        try
        {
            await host.StartAsync();
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync($"The node could not start: {e.Message}");
            return 1;
        }

        var cache = host.Services.GetRequiredService<IDistributedCache>();
        var cluster = host.Services.GetRequiredService<DistCacheCluster>();
        await new NodeLoop(arguments, workload, cache, cluster, evictions).RunAsync();
        await host.StopAsync();
        return 0;
    }
}

/// <summary>Listens to the library's own count of entries that went for lack of space; it is told every few seconds.</summary>
internal sealed class EvictionCounter : IDisposable
{
    private readonly MeterListener _listener = new();
    private long _evicted;

    public EvictionCounter()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument.Meter.Name == "DistCache" && instrument.Name == "distcache.memory.removed")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<long>((_, measurement, tags, _) =>
        {
            foreach (var tag in tags)
            {
                if (tag is { Key: "reason", Value: "size" })
                {
                    Interlocked.Add(ref _evicted, measurement);
                }
            }
        });
        _listener.Start();
    }

    public long Read() => Interlocked.Read(ref _evicted);

    public void Dispose() => _listener.Dispose();
}
