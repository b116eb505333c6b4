using Microsoft.Extensions.DependencyInjection;

namespace DistCache;

/// <summary>What <c>AddDistCache</c> returns, for what can be added to the node.</summary>
public sealed class DistCacheBuilder
{
    internal DistCacheBuilder(IServiceCollection services) => Services = services;

    /// <summary>The services that the node was added to.</summary>
    public IServiceCollection Services { get; }
}
