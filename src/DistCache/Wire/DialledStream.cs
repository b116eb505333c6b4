using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace DistCache.Wire;

/// <summary>
/// The connection under a lane. It takes all that is there in one call of the system: TLS and the HTTP/2 client above it read a header, then
/// what that announces, and before each ask, by a read of no bytes, whether there is anything.
/// <para>
/// It knows whether the peer ever said anything: an end before that is neither a refusal nor another protocol, and
/// the HTTP/2 client tells them apart by whichever of its reads and writes fails first.
/// </para>
/// </summary>
internal sealed class DialledStream(Socket socket, SentWatch sent) : NetworkStream(socket, ownsSocket: true)
{
    private const int BufferBytes = 64 << 10;

    private readonly byte[] _bytes = new byte[BufferBytes];
    private int _start;
    private int _end;
    private volatile bool _hasHeard;

    /// <summary>At least one byte came from the peer.</summary>
    public bool HasHeard => _hasHeard;

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        _start < _end ? new ValueTask<int>(Take(buffer.Span)) : FillAsync(buffer, cancellationToken);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        sent.NoteWrite();
        return base.WriteAsync(buffer, cancellationToken);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var read = await base.ReadAsync(_bytes, cancellationToken).ConfigureAwait(false);
        _hasHeard |= read > 0;
        (_start, _end) = (0, read);
        return Take(buffer.Span);
    }

    private int Take(Span<byte> destination)
    {
        var count = Math.Min(_end - _start, destination.Length);
        _bytes.AsSpan(_start, count).CopyTo(destination);
        _start += count;
        return count;
    }
}
