using System.Threading.Tasks.Sources;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>A call that is awaited as a task, used again for others.</summary>
internal sealed class PendingRequest : PeerCall, IValueTaskSource<PeerReply>
{
    private const int MaximumUnused = 64;

    [ThreadStatic]
    private static Stack<PendingRequest>? _unused;

    private ManualResetValueTaskSourceCore<PeerReply> _core;
    private PeerRequest? _request;

    private PendingRequest()
    {
    }

    public override PeerRequest Request => _request!;

    /// <summary>What comes of it; to be awaited once.</summary>
    public ValueTask<PeerReply> Outcome => new(this, _core.Version);

    public static PendingRequest Rent(PeerRequest request)
    {
        var pending = _unused is { Count: > 0 } unused ? unused.Pop() : new PendingRequest();
        pending._request = request;
        return pending;
    }

    PeerReply IValueTaskSource<PeerReply>.GetResult(short token)
    {
        // A token of an earlier use must not touch the present one.
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
        {
            throw new InvalidOperationException("The reply has not come yet: await it.");
        }

        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            _request = null;
            _core.Reset();
            var unused = _unused ??= new Stack<PendingRequest>();
            if (unused.Count < MaximumUnused)
            {
                unused.Push(this);
            }
        }
    }

    ValueTaskSourceStatus IValueTaskSource<PeerReply>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<PeerReply>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    protected override void OnEnded(PeerReply? reply, Exception? error)
    {
        if (error is null)
        {
            _core.SetResult(reply!);
        }
        else
        {
            _core.SetException(error);
        }
    }
}
