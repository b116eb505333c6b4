using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace DistCache.Hosting;

/// <summary>
/// Ties the node to the life of the host: it joins before anything of the application starts, hands over while the host is stopping,
/// and closes its port when everything else has stopped. What the node waits for ends on the thread that reads a peer's lane: each step hops
/// off it, since the application goes on from here, and may block.
/// </summary>
internal sealed class NodeService(Node node, IOptions<HostOptions> hostOptions) : IHostedLifecycleService
{
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        await node.StartAsync(cancellationToken).ConfigureAwait(false);
        await Task.Yield();
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>The hand-over takes at most half of what the host allows for its whole stop; a host without a limit sets none here either.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        await node.LeaveAsync(Allowed / 2, cancellationToken).ConfigureAwait(false);
        await Task.Yield();
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>The answers to callers take at most a quarter: one that never takes its result holds up nobody for longer.</summary>
    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await node.StopAsync(Allowed / 4).ConfigureAwait(false);
        await Task.Yield();
    }

    private TimeSpan Allowed => hostOptions.Value.ShutdownTimeout is var set && set == Timeout.InfiniteTimeSpan ? TimeSpan.MaxValue : set;
}
