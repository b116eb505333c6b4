using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// The wait for the first reply, which the hedge may end before the reply comes. Pooled, since nearly every remote read makes one and
/// nearly none is hedged.
/// <list type="number">
/// <item>waiting → answered: the reply came; whoever awaits gets it, and the object goes back to the pool.</item>
/// <item>waiting → hedged: whoever awaits gets null and <see cref="Late"/>; the object is not used again.</item>
/// </list>
/// Reply and hedge race: the first to move the state wins. The state carries a version, so that a hedge that comes for an earlier use
/// of the object changes nothing.
/// </summary>
internal sealed class FirstAnswer : IValueTaskSource<PeerReply?>
{
    private const int Waiting = 0;
    private const int Answered = 1;
    private const int Hedged = 2;
    private const int PhaseBits = 2;
    private const int MaximumPooled = 4_096;

    private static readonly ConcurrentQueue<FirstAnswer> Pool = new();

    private readonly Action _onReply;
    private ManualResetValueTaskSourceCore<PeerReply?> _core;
    private ConfiguredValueTaskAwaitable<PeerReply>.ConfiguredValueTaskAwaiter _reply;
    private TaskCompletionSource<PeerReply>? _late;
    private int _state;

    private FirstAnswer() => _onReply = OnReply;

    /// <summary>Names this use of the object.</summary>
    public int Version => _state >> PhaseBits;

    /// <summary>After a hedge: the reply, when it comes.</summary>
    public Task<PeerReply> Late => EnsureLate().Task;

    public static FirstAnswer Rent() => Pool.TryDequeue(out var answer) ? answer : new FirstAnswer();

    /// <summary>The reply; null if the hedge came first.</summary>
    public ValueTask<PeerReply?> Follow(ValueTask<PeerReply> reply)
    {
        var task = new ValueTask<PeerReply?>(this, _core.Version);
        _reply = reply.ConfigureAwait(false).GetAwaiter();
        _reply.UnsafeOnCompleted(_onReply);
        return task;
    }

    /// <summary>Ends the wait, if it still is the one that <paramref name="version"/> names.</summary>
    public void Hedge(int version)
    {
        if (TryMove(version, Hedged))
        {
            _core.SetResult(null);
        }
    }

    PeerReply? IValueTaskSource<PeerReply?>.GetResult(short token)
    {
        var isReusable = (_state & ((1 << PhaseBits) - 1)) == Answered;
        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            if (isReusable)
            {
                Recycle();
            }
        }
    }

    ValueTaskSourceStatus IValueTaskSource<PeerReply?>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<PeerReply?>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void OnReply()
    {
        PeerReply? reply = null;
        Exception? error = null;
        try
        {
            reply = _reply.GetResult();
        }
        catch (Exception exception)
        {
            error = exception;
        }

        var isFirst = TryMove(Version, Answered);

        // Called on the field each time: a delegate to a method of a struct would complete a copy of it.
        switch (isFirst, error)
        {
            case (true, null):
                _core.SetResult(reply);
                break;
            case (true, _):
                _core.SetException(error);
                break;
            case (false, null):
                EnsureLate().SetResult(reply!);
                break;
            default:
                EnsureLate().SetException(error);
                break;
        }
    }

    private bool TryMove(int version, int phase) =>
        Interlocked.CompareExchange(ref _state, version << PhaseBits | phase, version << PhaseBits | Waiting) == (version << PhaseBits | Waiting);

    /// <summary>Made by whoever needs it first: the one that awaits the late reply, or the reply.</summary>
    private TaskCompletionSource<PeerReply> EnsureLate()
    {
        var late = Volatile.Read(ref _late) ?? new TaskCompletionSource<PeerReply>();
        return Interlocked.CompareExchange(ref _late, late, null) ?? late;
    }

    private void Recycle()
    {
        _core.Reset();
        _reply = default;
        Volatile.Write(ref _state, (Version + 1) << PhaseBits | Waiting);
        if (Pool.Count < MaximumPooled)
        {
            Pool.Enqueue(this);
        }
    }
}
