using System.Buffers;
using System.Threading.Tasks.Sources;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// A read that another node answers: the request with its key, the wait for the reply, the entry among those that the hedge watches, and
/// the task of the caller, in one object that is used again. Nearly every remote read needs no more: one question to the primary, one
/// answer that counts.
/// <list type="number">
/// <item>waiting → answered: the reply came. If it settles the matter the caller goes on, with no other object made and no lock held.</item>
/// <item>waiting → hedged: the reply is late, and others are asked meanwhile.</item>
/// <item>A read that is hedged, or whose answer settles nothing, goes on with <see cref="ReadPath.GoOn"/> and is not used again.</item>
/// </list>
/// Reply and hedge race: the first to move the state wins. The state carries a version, so that a hedge that comes for an earlier use
/// of the object changes nothing.
/// </summary>
internal sealed class RemoteRead(ReadPath path) : PeerCall, IValueTaskSource<ReadReply?>, IValueTaskSource<byte[]?>, IValueTaskSource<bool>
{
    private const int Waiting = 0;
    private const int Answered = 1;
    private const int Hedged = 2;
    private const int PhaseBits = 2;
    private const int UsualKeyBytes = 64;

    private readonly ReadRequest _request = new(default, TableHash: 0, Renew: false, WithValue: false, AsHolder: false);
    private byte[] _key = new byte[UsualKeyBytes];
    private ManualResetValueTaskSourceCore<ReadReply?> _core;
    private IBufferWriter<byte>? _destination;
    private TaskCompletionSource<PeerReply>? _late;
    private TimeSpan _patience;
    private int _state = Answered;
    private int _isWatched;
    private bool _isUsedAgain;
    private volatile bool _isFollowing;

    public override ReadRequest Request => _request;

    public Slot Slot { get; private set; }

    public long StartedAt { get; private set; }

    /// <summary>Under which the primary was asked.</summary>
    public Routing Routing { get; private set; } = null!;

    /// <summary>Who was asked first; null if nobody was.</summary>
    public Member? First { get; private set; }

    public CancellationToken Token { get; private set; }

    /// <summary>The next one among those that the hedge watches.</summary>
    public RemoteRead? NextWatched { get; set; }

    /// <summary>The primary has answered that a large value follows: nobody else need be asked.</summary>
    public bool IsFollowing => _isFollowing;

    /// <summary>Names this use of the object, and whether it still waits.</summary>
    public int State => Volatile.Read(ref _state);

    /// <summary>The answer that counts, for the caller to release; to be awaited once, as every outcome.</summary>
    public ValueTask<ReadReply?> Answer => new(this, _core.Version);

    /// <summary>The value of a hit, in an array of its own.</summary>
    public ValueTask<byte[]?> Value => new(this, _core.Version);

    public static bool IsWaiting(int state) => (state & ((1 << PhaseBits) - 1)) == Waiting;

    /// <summary>Takes the question in; nobody is asked yet.</summary>
    public void Begin(ReadOnlySpan<byte> key, Slot slot, Routing routing, bool renew, bool withValue, long startedAt, CancellationToken token)
    {
        if (_key.Length < key.Length)
        {
            _key = new byte[EntryKey.MaximumBytes];
        }

        key.CopyTo(_key);
        _request.Key = _key.AsMemory(0, key.Length);
        _request.TableHash = routing.Table.Hash;
        _request.Renew = renew;
        _request.WithValue = withValue;
        Slot = slot;
        Routing = routing;
        StartedAt = startedAt;
        Token = token;
        First = null;
        _isFollowing = false;
        _isUsedAgain = true;
    }

    /// <summary>Asks the primary, under the eyes of the hedge.</summary>
    public void Ask(Member first, PeerCalls calls, HedgeClock hedges, TimeSpan patience)
    {
        First = first;
        _patience = patience;

        // A full fence: the hedge stops watching before it looks at the state for the last time, and this looks after it has set it.
        Interlocked.Exchange(ref _state, ((_state >> PhaseBits) + 1) << PhaseBits | Waiting);
        hedges.Watch(this);
        calls.Send(first, this, patience, Token);
    }

    public override void OnFollows() => _isFollowing = true;

    /// <summary>The value of a hit is written to <paramref name="destination"/> where the caller goes on; gives whether it is one.</summary>
    public ValueTask<bool> Into(IBufferWriter<byte> destination)
    {
        _destination = destination;
        return new(this, _core.Version);
    }

    /// <summary>More than one question is needed: the object stays with this read.</summary>
    public void Keep() => _isUsedAgain = false;

    public void End(ReadReply? reply) => _core.SetResult(reply);

    public void End(Exception exception) => _core.SetException(exception);

    /// <summary>Ends the wait, if it still is the one that <paramref name="state"/> names.</summary>
    public bool TryHedge(int state)
    {
        // Before the state: the reply looks for it as soon as it finds that it is late.
        _late = new TaskCompletionSource<PeerReply>();
        return TryMove(state, Hedged);
    }

    /// <summary>After a hedge: others are asked too. May run the caller's code.</summary>
    public void AskOthers() => path.GoOn(this, _late!.Task);

    public bool TryWatch() => Volatile.Read(ref _isWatched) == 0 && Interlocked.Exchange(ref _isWatched, 1) == 0;

    public void Unwatch() => Interlocked.Exchange(ref _isWatched, 0);

    bool IValueTaskSource<bool>.GetResult(short token)
    {
        var destination = _destination!;
        var reply = Take(token);
        try
        {
            if (reply?.Outcome != ReadOutcome.Hit)
            {
                return false;
            }

            ValueBytes.Write(reply.Value.Span, destination);
            return true;
        }
        finally
        {
            reply?.Release();
        }
    }

    byte[]? IValueTaskSource<byte[]?>.GetResult(short token) => ReadPath.ToArray(Take(token));

    ReadReply? IValueTaskSource<ReadReply?>.GetResult(short token) => Take(token);

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _core.GetStatus(token);

    ValueTaskSourceStatus IValueTaskSource<byte[]?>.GetStatus(short token) => _core.GetStatus(token);

    ValueTaskSourceStatus IValueTaskSource<ReadReply?>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<bool>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    void IValueTaskSource<byte[]?>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    void IValueTaskSource<ReadReply?>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    protected override void OnEnded(PeerReply? reply, Exception? error)
    {
        if (error is ObjectDisposedException)
        {
            (reply, error) = (PeerCalls.Stopped, null);
        }

        var isFirst = TryMove(_state & ~((1 << PhaseBits) - 1) | Waiting, Answered);
        switch (isFirst, error)
        {
            case (true, null):
                path.OnAnswer(this, reply!, _patience);
                break;
            case (true, _):
                End(error);
                break;
            case (false, null):
                _ = EndLateAsync(reply!);
                break;
            default:
                _late!.SetException(error);
                break;
        }
    }

    private async Task EndLateAsync(PeerReply reply)
    {
        try
        {
            await path.ConcludeAsync(this, reply, _patience).ConfigureAwait(false);
            _late!.SetResult(reply);
        }
        catch (Exception exception)
        {
            // The caller gave up meanwhile, and waits for this to hear of it.
            _late!.SetException(exception);
        }
    }

    private bool TryMove(int state, int phase) =>
        IsWaiting(state) && Interlocked.CompareExchange(ref _state, state | phase, state) == state;

    private ReadReply? Take(short token)
    {
        // A token of an earlier use must not touch the present one.
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
        {
            throw new InvalidOperationException("The read has not ended yet: await it.");
        }

        try
        {
            return _core.GetResult(token) ?? path.Unanswered(path.Silence);
        }
        finally
        {
            if (_isUsedAgain)
            {
                _core.Reset();
                _destination = null;
                Token = default;
                path.Recycle(this);
            }
        }
    }
}
