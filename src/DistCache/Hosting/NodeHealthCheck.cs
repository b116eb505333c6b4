using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;

namespace DistCache.Hosting;

/// <summary>
/// Fails before the node has joined and once it leaves, so that a balancer sends it nothing. What it survives by itself, and what would
/// concern all nodes at once, such as a member's death, is at most degraded: taking every node out of service would end the service.
/// </summary>
internal sealed class NodeHealthCheck(Node node, IOptions<DistCacheOptions> options) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var reading = node.Read();
        var alive = reading.Members.Count(member => member == MemberState.Alive);
        var needed = options.Value.Replication.MinimumMembers;
        var (status, description) = node.Phase switch
        {
            NodePhase.Starting => (context.Registration.FailureStatus, "The node has not joined yet."),
            NodePhase.Leaving => (context.Registration.FailureStatus, "The node leaves, or has left."),
            _ when alive == 1 && options.Value.Cluster.Seeds.Count > 0 => (HealthStatus.Degraded, "No other member is alive, although there are seeds."),
            _ when alive < needed => (HealthStatus.Degraded, $"{alive} members are alive; writes are refused below {needed}."),
            _ when reading.ImportingSlots > 0 => (HealthStatus.Degraded, $"{reading.ImportingSlots} slots are still to be fetched from other members."),
            _ => (HealthStatus.Healthy, $"{alive} members are alive."),
        };
        var data = new Dictionary<string, object> { ["node"] = reading.Node, ["members"] = alive, ["slotsToTakeOver"] = reading.ImportingSlots };
        return Task.FromResult(new HealthCheckResult(status, description, exception: null, data));
    }
}
