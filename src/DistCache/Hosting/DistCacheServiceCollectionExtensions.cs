using DistCache;
using DistCache.Hosting;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds a DistCache node to an application.</summary>
public static class DistCacheServiceCollectionExtensions
{
    /// <summary>
    /// Makes this process a node of a distributed cache and registers it as the <see cref="IDistributedCache"/>, with the defaults: a
    /// local cache, until <see cref="ClusterOptions.Listen"/> and <see cref="ClusterOptions.Seeds"/> are set.
    /// </summary>
    /// <param name="services">The services of the application; it has one node, whatever the number of calls.</param>
    /// <returns>A builder for what can be added to the node.</returns>
    public static DistCacheBuilder AddDistCache(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddOptions<DistCacheOptions>().ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<DistCacheOptions>, DistCacheOptionsValidator>());
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<Node>();
        services.TryAddSingleton(static provider => provider.GetRequiredService<Node>().Cluster);
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, NodeService>());

        // The last registration of a cache wins, so a second call moves ours to the end.
        var earlier = services.FirstOrDefault(static service => service.ImplementationFactory == CacheFactory);
        if (earlier is not null)
        {
            services.Remove(earlier);
        }

        services.Add(ServiceDescriptor.Singleton(typeof(IDistributedCache), CacheFactory));
        return new DistCacheBuilder(services);
    }

    /// <inheritdoc cref="AddDistCache(IServiceCollection)"/>
    /// <param name="services">The services of the application.</param>
    /// <param name="configure">Sets options; several calls add up.</param>
    public static DistCacheBuilder AddDistCache(this IServiceCollection services, Action<DistCacheOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        services.Configure(configure);
        return services.AddDistCache();
    }

    /// <inheritdoc cref="AddDistCache(IServiceCollection)"/>
    /// <param name="services">The services of the application.</param>
    /// <param name="configuration">A section that is laid out as <see cref="DistCacheOptions"/> is.</param>
    public static DistCacheBuilder AddDistCache(this IServiceCollection services, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        services.Configure<DistCacheOptions>(configuration);
        return services.AddDistCache();
    }

    private static object CacheFactory(IServiceProvider provider) => provider.GetRequiredService<Node>().Cache;
}
