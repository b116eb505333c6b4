using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>Where to look for the cluster.</summary>
internal interface ISeedSource
{
    /// <summary>Asking again would give another answer than the last time. Looked at with each tick, so it must cost next to nothing.</summary>
    bool HasChanged => false;

    /// <summary>The addresses as they are now; asked again at each dial. Never throws but for cancellation.</summary>
    ValueTask<SeedList> ResolveAsync(CancellationToken cancellationToken);
}

/// <summary>What a source knows at the moment.</summary>
/// <param name="Addresses">Where to dial.</param>
/// <param name="IsComplete">False if a name did not resolve or a file could not be read: there may be more seeds than these.</param>
internal readonly record struct SeedList(IReadOnlyList<PeerAddress> Addresses, bool IsComplete);
