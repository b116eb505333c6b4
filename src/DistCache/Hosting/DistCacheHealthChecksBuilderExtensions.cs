using DistCache.Hosting;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds the health of the DistCache node to an application's health checks.</summary>
public static class DistCacheHealthChecksBuilderExtensions
{
    /// <summary>
    /// Adds a check of this process's node. It fails before the node has joined and once it leaves; it is degraded while the node sees
    /// no other member although it has seeds, sees fewer than <see cref="DistCache.ReplicationOptions.MinimumMembers"/>, or fetches what it owns.
    /// </summary>
    /// <param name="builder">The health checks of an application that called <c>AddDistCache</c> on its services.</param>
    /// <param name="name">What the check is called.</param>
    /// <param name="failureStatus">What a failure is reported as; <see cref="HealthStatus.Unhealthy"/> if it is null.</param>
    /// <param name="tags">To choose the check by, such as "ready".</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IHealthChecksBuilder AddDistCache(
        this IHealthChecksBuilder builder, string name = "distcache", HealthStatus? failureStatus = null, IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentException.ThrowIfNullOrEmpty(name);
        return builder.Add(new HealthCheckRegistration(
            name, static services => ActivatorUtilities.CreateInstance<NodeHealthCheck>(services), failureStatus, tags));
    }
}
