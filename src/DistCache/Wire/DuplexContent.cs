using System.Net;

namespace DistCache.Wire;

/// <summary>
/// The request body of a lane: opens with a first message and stays open until <see cref="Complete"/>, while others write to
/// <see cref="Stream"/>.
/// </summary>
internal sealed class DuplexContent : HttpContent
{
    private readonly Func<ReadOnlyMemory<byte>> _firstMessage;
    private readonly TaskCompletionSource _complete = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Stream? _stream;

    /// <param name="firstMessage">Asked when the connection stands, so that it may depend on its addresses.</param>
    public DuplexContent(Func<ReadOnlyMemory<byte>> firstMessage)
    {
        _firstMessage = firstMessage;
        Headers.TryAddWithoutValidation("content-type", GrpcProtocol.ContentType);
    }

    /// <summary>Where requests are written; there once the response has begun.</summary>
    public Stream Stream => _stream ?? throw new InvalidOperationException("The response came before the request was begun.");

    public void Complete() => _complete.TrySetResult();

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        await stream.WriteAsync(_firstMessage(), cancellationToken).ConfigureAwait(false);
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        Volatile.Write(ref _stream, stream);
        await _complete.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
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
