using System.Net;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>All that several sources know.</summary>
internal sealed class CombinedSeeds(IReadOnlyList<ISeedSource> sources) : ISeedSource
{
    /// <summary>What an entry of the options starts with to name a file of addresses.</summary>
    public const string FilePrefix = "file:";

    /// <summary>
    /// The sources that the entries of <see cref="ClusterOptions.Seeds"/> name: <c>address:port</c> is that address, <c>name:port</c> whatever
    /// the name resolves to, <c>file:path</c> the addresses in a file.
    /// </summary>
    /// <exception cref="FormatException">An entry is none of these.</exception>
    public static ISeedSource Parse(IEnumerable<string> entries, ILogger logger)
    {
        List<ISeedSource> sources = [];
        List<PeerAddress> addresses = [];
        foreach (var entry in entries)
        {
            if (IsFile(entry))
            {
                sources.Add(new FileSeeds(entry[FilePrefix.Length..], logger));
            }
            else if (PeerAddress.Parse(entry) is var address && !IPAddress.TryParse(address.Host, out _))
            {
                sources.Add(new DnsSeeds(address, logger));
            }
            else
            {
                addresses.Add(address);
            }
        }

        return sources.Count == 0 ? new StaticSeeds(addresses) : new CombinedSeeds([new StaticSeeds(addresses), .. sources]);
    }

    public bool HasChanged => sources.Any(source => source.HasChanged);

    public static bool IsFile(string entry) => entry.StartsWith(FilePrefix, StringComparison.Ordinal);

    public async ValueTask<SeedList> ResolveAsync(CancellationToken cancellationToken)
    {
        var lists = await Task.WhenAll(sources.Select(source => source.ResolveAsync(cancellationToken).AsTask())).ConfigureAwait(false);
        return new SeedList([.. lists.SelectMany(list => list.Addresses).Distinct()], lists.All(list => list.IsComplete));
    }
}
