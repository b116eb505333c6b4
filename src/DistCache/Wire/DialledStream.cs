using System.Net.Sockets;

namespace DistCache.Wire;

/// <summary>
/// The connection under a lane. While it is dialled it notes that the peer reset it: the HTTP/2 client, where the reset comes before it
/// looks, tells only that there was no handshake. Once the lane stands, reads and writes go straight through.
/// </summary>
internal sealed class DialledStream(Socket socket) : NetworkStream(socket, ownsSocket: true)
{
    private volatile bool _stands;
    private volatile bool _wasReset;

    public bool WasReset => _wasReset;

    /// <summary>The handshake is over.</summary>
    public void Stand() => _stands = true;

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        _stands ? base.ReadAsync(buffer, cancellationToken) : WatchedReadAsync(buffer, cancellationToken);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        _stands ? base.WriteAsync(buffer, cancellationToken) : WatchedWriteAsync(buffer, cancellationToken);

    private async ValueTask<int> WatchedReadAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            return await base.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        }
        catch (IOException exception)
        {
            Note(exception);
            throw;
        }
    }

    private async ValueTask WatchedWriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            await base.WriteAsync(buffer, cancellationToken).ConfigureAwait(false);
        }
        catch (IOException exception)
        {
            Note(exception);
            throw;
        }
    }

    /// <summary>One operation gets the reset itself, whatever else is written then finds a broken pipe: either may be the first to fail.</summary>
    private void Note(IOException exception) => _wasReset |= exception.InnerException is SocketException
    {
        SocketErrorCode: SocketError.ConnectionReset or SocketError.ConnectionAborted or SocketError.Shutdown,
    };
}
