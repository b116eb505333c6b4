using System.Net;

namespace DistCache.Wire;

/// <summary>
/// The request body of a lane: opens with a first message and stays open until <see cref="Complete"/>, while others write to the
/// stream that <see cref="OpenAsync"/> gives.
/// </summary>
internal sealed class DuplexContent : HttpContent
{
    private readonly Func<ReadOnlyMemory<byte>> _firstMessage;
    private readonly TaskCompletionSource _complete = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Stream> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <param name="firstMessage">Asked when the connection stands.</param>
    public DuplexContent(Func<ReadOnlyMemory<byte>> firstMessage)
    {
        _firstMessage = firstMessage;
        Headers.TryAddWithoutValidation("content-type", GrpcProtocol.ContentType);
    }

    /// <summary>
    /// Where requests are written, once the first message is. The peer's answer to that may be here before its write has returned, and
    /// the stream takes one write at a time.
    /// </summary>
    public Task<Stream> OpenAsync(CancellationToken cancellationToken) => _opened.Task.WaitAsync(cancellationToken);

    public void Complete() => _complete.TrySetResult();

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        await stream.WriteAsync(_firstMessage(), cancellationToken).ConfigureAwait(false);
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        _opened.TrySetResult(stream);

        // Cancelled when the connection breaks: without an exception of ours the request fails with that of the connection, which says why.
        await _complete.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = -1;
        return false;
    }

    protected override void Dispose(bool disposing)
    {
        Complete();
        base.Dispose(disposing);
    }
}
