using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>A fixed list of addresses.</summary>
internal sealed class StaticSeeds(IEnumerable<PeerAddress> addresses) : ISeedSource
{
    public static readonly StaticSeeds None = new([]);

    private readonly PeerAddress[] _addresses = [.. addresses];

    public ValueTask<SeedList> ResolveAsync(CancellationToken cancellationToken) => new(new SeedList(_addresses, IsComplete: true));
}
