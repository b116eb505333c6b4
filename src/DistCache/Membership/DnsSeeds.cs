using System.Net;
using System.Net.Sockets;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>
/// A DNS name that stands for any number of nodes, such as a headless service of Kubernetes: resolved again at each dial, since the
/// nodes behind it come and go.
/// </summary>
internal sealed class DnsSeeds(PeerAddress name, Func<string, CancellationToken, Task<IPAddress[]>> resolve, ILogger logger) : ISeedSource
{
    /// <summary>A slow resolver must not hold up the addresses of other sources for longer.</summary>
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    private readonly SeedSourceState _state = new(name.ToString(), logger);

    public DnsSeeds(PeerAddress name, ILogger logger)
        : this(name, Dns.GetHostAddressesAsync, logger)
    {
    }

    public async ValueTask<SeedList> ResolveAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            patience.CancelAfter(Timeout);
            var addresses = await resolve(name.Host, patience.Token).ConfigureAwait(false);
            _state.Works(addresses.Length);
            return new SeedList([.. addresses.Distinct().Select(address => new PeerAddress(address.ToString(), name.Port))], IsComplete: true);
        }
        catch (Exception exception) when (exception is SocketException or ArgumentException)
        {
            return Failed(exception.Message);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return Failed($"No answer within {Timeout.TotalSeconds} s.");
        }
    }

    private SeedList Failed(string reason)
    {
        _state.Fails(reason);
        return new SeedList([], IsComplete: false);
    }
}
