using System.Diagnostics.CodeAnalysis;
using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>The requests on their way: each ends with a reply or a fault, and at the end of the loop all end at once.</summary>
internal sealed class Outbox(IPeerTransport transport, TimeProvider time, MembershipLog log) : IAsyncDisposable
{
    /// <summary>The longest that disposal waits for requests that were cancelled.</summary>
    private static readonly TimeSpan DisposeTimeout = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _idle = new();
    private int _inFlight;
    private bool _isStopped;

    public CancellationToken Stopping => _stopping.Token;

    /// <summary>Sends, and gives a fault for whatever goes wrong.</summary>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "A peer's fault, or a transport's, must not stop the loop.")]
    public async Task<PeerReply> RequestAsync(SwimSend send, CancellationToken cancellationToken)
    {
        if (!TryBegin())
        {
            return new PeerFault(FaultKind.Unreachable, "This node has stopped.");
        }

        CancellationTokenSource? either = null;
        try
        {
            either = cancellationToken.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token) : null;
            var timeout = TimeSpan.FromMilliseconds(send.TimeoutMilliseconds);
            return await transport.SendAsync(send.To, send.Request, timeout, either?.Token ?? _stopping.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return new PeerFault(FaultKind.Unreachable, "This node stops, or the caller gave up.");
        }
        catch (Exception exception)
        {
            log.LoopFailed(exception);
            return new PeerFault(FaultKind.Failed, exception.Message);
        }
        finally
        {
            either?.Dispose();
            End();
        }
    }

    public async ValueTask DisposeAsync()
    {
        bool isIdle;
        lock (_lock)
        {
            _isStopped = true;
            isIdle = _inFlight == 0;
        }

        Cancel();
        if (!isIdle)
        {
            await Task.WhenAny(_idle.Task, Task.Delay(DisposeTimeout, time, CancellationToken.None)).ConfigureAwait(false);
        }
    }

    /// <summary>In line: the asynchronous twin would run the callbacks on another thread.</summary>
    private void Cancel() => _stopping.Cancel();

    private bool TryBegin()
    {
        lock (_lock)
        {
            _inFlight += _isStopped ? 0 : 1;
            return !_isStopped;
        }
    }

    private void End()
    {
        bool isIdle;
        lock (_lock)
        {
            _inFlight--;
            isIdle = _isStopped && _inFlight == 0;
        }

        if (isIdle)
        {
            _idle.TrySetResult();
        }
    }
}
