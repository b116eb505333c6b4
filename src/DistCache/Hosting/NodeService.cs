using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace DistCache.Hosting;

/// <summary>
/// Ties the node to the life of the host: it joins before anything of the application starts, hands over while the host is stopping,
/// and closes its port when everything else has stopped.
/// </summary>
internal sealed class NodeService(Node node, IOptions<HostOptions> hostOptions) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => node.StartAsync(cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>The hand-over takes at most half of what the host allows for its whole stop.</summary>
    public Task StoppingAsync(CancellationToken cancellationToken) => node.LeaveAsync(hostOptions.Value.ShutdownTimeout / 2, cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => node.StopAsync();
}
