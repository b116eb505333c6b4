using System.Net.Sockets;

namespace DistCache.Wire;

/// <summary>
/// The connection under a lane. It knows whether the peer ever said anything: an end before that is neither a refusal nor another protocol, and
/// the HTTP/2 client tells them apart by whichever of its reads and writes fails first.
/// </summary>
internal sealed class DialledStream(Socket socket) : NetworkStream(socket, ownsSocket: true)
{
    private volatile bool _hasHeard;

    /// <summary>At least one byte came from the peer.</summary>
    public bool HasHeard => _hasHeard;

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        _hasHeard ? base.ReadAsync(buffer, cancellationToken) : ListenAsync(buffer, cancellationToken);

    private async ValueTask<int> ListenAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var read = await base.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        _hasHeard |= read > 0;
        return read;
    }
}
