using System.Threading.Tasks.Sources;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// A request that waits for its reply, used again for others. Whoever takes it out of its table completes it, so it is completed once.
/// The caller goes on in the thread pool: this is the one hop, and nobody's code but ours runs on a lane's reader.
/// </summary>
internal sealed class PendingRequest(PendingTable table) : IValueTaskSource<PeerReply>
{
    private ManualResetValueTaskSourceCore<PeerReply> _core = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration _registration;

    public uint Id { get; set; }

    /// <summary>By the clock's timestamps.</summary>
    public long Deadline { get; private set; }

    /// <summary>What it counts for among the bytes in flight.</summary>
    public int Weight { get; private set; }

    public PeerRequest? Request { get; private set; }

    public CancellationToken CancellationToken { get; private set; }

    /// <summary>The next one in the table's list of unused ones.</summary>
    public PendingRequest? NextUnused { get; set; }

    public ValueTask<PeerReply> Reply => new(this, _core.Version);

    public void Begin(PeerRequest request, int weight, long deadline, CancellationToken cancellationToken)
    {
        Request = request;
        Weight = weight;
        Deadline = deadline;
        CancellationToken = cancellationToken;
    }

    /// <summary>Called before the request is sent: from then on anybody may complete it.</summary>
    public void WatchToken()
    {
        if (CancellationToken.CanBeCanceled)
        {
            _registration = CancellationToken.UnsafeRegister(static state => ((PendingRequest)state!).OnCanceled(), this);
        }
    }

    public void Complete(PeerReply reply) => _core.SetResult(reply);

    public void Fail(Exception exception) => _core.SetException(exception);

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
            // Waits for a callback that is running: after this nobody else refers to us, and we can be used again.
            _registration.Dispose();
            _registration = default;
            Request = null;
            CancellationToken = default;
            _core.Reset();
            table.Recycle(this);
        }
    }

    ValueTaskSourceStatus IValueTaskSource<PeerReply>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<PeerReply>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void OnCanceled()
    {
        if (table.TryRemove(this))
        {
            table.GiveUp(this);
            Fail(new OperationCanceledException(CancellationToken));
        }
    }
}
