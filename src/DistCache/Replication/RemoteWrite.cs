using System.Buffers;
using System.Threading.Tasks.Sources;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// A write of a caller on this node: the entry, the calls to its owners, what came of them, and the task of the caller, in one object
/// that is used again. Nearly every write needs no more: each owner takes its copy, all by the table of this node.
/// <list type="number">
/// <item>waiting → settled: the primary has taken it and so many others as are needed; or the caller gave up. The caller goes on.</item>
/// <item>All calls have ended, and an owner lacks its copy: the acting primary leads the write, under the same version; the caller, if it
/// still waits, goes on with what comes of that.</item>
/// <item>An owner holds a higher version, and the caller still waits: the same, with a new stamp. One that waits no more never stamps again.</item>
/// </list>
/// </summary>
internal sealed class RemoteWrite(WritePath path) : IValueTaskSource<WriteReply>, IValueTaskSource
{
    /// <summary>The caller, and the calls together.</summary>
    private const int CallerAndCalls = 2;

    private readonly Lock _lock = new();
    private readonly List<CopyCall> _calls = [];
    private ManualResetValueTaskSourceCore<WriteReply?> _core;
    private CancellationTokenRegistration _registration;
    private CancellationToken _token;
    private byte[] _rented = [];
    private int _used;
    private int _owners;
    private int _needed;
    private int _open;
    private int _copies;
    private int _holds;
    private bool _isAtPrimary;
    private bool _isReferred;
    private bool _isSettled;

    /// <summary>The entry, as it goes to each owner.</summary>
    public ReplicateRequest Request { get; private set; } = null!;

    /// <summary>Under which the owners were found.</summary>
    public Routing Routing { get; private set; } = null!;

    public long StartedAt { get; private set; }

    /// <summary>The primary, if it could not be asked, and why.</summary>
    public (Member Primary, PeerFault Fault)? Lost { get; private set; }

    /// <summary>An owner holds a higher version, or cannot hold this one: it is of no use.</summary>
    public bool IsStampSpent { get; private set; }

    /// <summary>The caller has neither gone on nor given up.</summary>
    public bool IsAwaited => !Volatile.Read(ref _isSettled);

    /// <summary>Ends with the acknowledgement, or with what <see cref="WritePath.Unacknowledged"/> throws; to be awaited once, as every outcome.</summary>
    public ValueTask Acknowledged => new(this, _core.Version);

    public ValueTask<WriteReply> Reply => new(this, _core.Version);

    /// <summary>Takes the entry in; nobody has it yet.</summary>
    /// <param name="entry">What is written.</param>
    /// <param name="rented">The pooled array that it stands in; empty where it stands elsewhere.</param>
    /// <param name="owners">How many there are.</param>
    /// <param name="needed">So many of them must have it, the primary among them.</param>
    /// <param name="routing">Who they are.</param>
    /// <param name="startedAt">When the caller came.</param>
    public void Begin(EntryRecord entry, byte[] rented, int owners, int needed, Routing routing, long startedAt)
    {
        Request = new ReplicateRequest(entry, routing.Table.Hash, StandIn: false);
        (_rented, _needed, Routing, StartedAt) = (rented, needed, routing, startedAt);

        // Whoever sends counts as one who has a hand in it, and is the last of them if all owners answer before it is done.
        (_owners, _copies, _used, _open, _holds) = (owners, 0, 0, owners + 1, CallerAndCalls);
        (_isAtPrimary, _isSettled, IsStampSpent, Lost) = (false, false, false, null);
    }

    /// <summary>This node, an owner, has it; before anything is sent.</summary>
    public void Hold(bool asPrimary)
    {
        _open--;
        _copies++;
        _isAtPrimary = asPrimary;
    }

    /// <summary>This node, an owner, holds a higher version, or cannot hold this one.</summary>
    public void SpendStamp() => IsStampSpent = true;

    /// <summary>Sends it to an owner.</summary>
    public void Send(Member owner, bool isPrimary, PeerCalls calls, TimeSpan patience)
    {
        if (_used == _calls.Count)
        {
            _calls.Add(new CopyCall(this));
        }

        var call = _calls[_used++];
        (call.Owner, call.IsPrimary, call.Patience) = (owner, isPrimary, patience);
        calls.Send(owner, call, patience, CancellationToken.None);
    }

    /// <summary>All was sent that is to be sent; from now on the caller may give up.</summary>
    public void EndSending(CancellationToken token)
    {
        _token = token;
        _registration = token.UnsafeRegister(static write => ((RemoteWrite)write!).GiveUp(), this);
        Close();
    }

    /// <summary>The write came to this, on whatever way. May run the caller's code.</summary>
    public void End(WriteReply? reply)
    {
        if (TrySettle())
        {
            _core.SetResult(reply);
        }
    }

    public void End(Exception exception)
    {
        if (TrySettle())
        {
            _core.SetException(exception);
        }
    }

    WriteReply IValueTaskSource<WriteReply>.GetResult(short token)
    {
        var (hash, needed) = (Request.TableHash, _needed);
        return Take(token) ?? new WriteReply(WriteOutcome.Acknowledged, hash, needed, needed);
    }

    void IValueTaskSource.GetResult(short token)
    {
        var entry = Request.Entry;
        if (Take(token) is { Outcome: not WriteOutcome.Acknowledged } reply)
        {
            path.Unacknowledged(reply, entry.Flags == EntryFlags.Tombstone, entry.Value.Length);
        }
    }

    ValueTaskSourceStatus IValueTaskSource<WriteReply>.GetStatus(short token) => _core.GetStatus(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<WriteReply>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void GiveUp() => End(new OperationCanceledException(_token));

    private bool TrySettle()
    {
        lock (_lock)
        {
            return !_isSettled && (_isSettled = true);
        }
    }

    private void OnEnded(CopyCall call, PeerReply reply)
    {
        path.Conclude(call.Owner, reply, Routing, StartedAt, call.Patience);
        Close(call, reply);
    }

    /// <summary>One who has a hand in it is done: an owner, or whoever sends.</summary>
    private void Close(CopyCall? call = null, PeerReply? reply = null)
    {
        bool isLast, isAcknowledged, isLacking;
        lock (_lock)
        {
            if (call is not null)
            {
                TakeInLocked(call, reply!);
            }

            isLast = --_open == 0;

            // By a table that is over the new owners must get it too, before the caller hears of it.
            isAcknowledged = !_isSettled && _isAtPrimary && _copies >= _needed && !IsStampSpent && path.IsCurrent(Routing);
            isLacking = isLast && (_copies < _owners || !(_isSettled || isAcknowledged));
            _isSettled |= isAcknowledged;
        }

        if (isLacking)
        {
            path.AskLeader(this, CancellationToken.None);
        }

        if (isAcknowledged)
        {
            _core.SetResult(null);
        }

        if (isLast && !isLacking)
        {
            LetGo();
        }
    }

    private void TakeInLocked(CopyCall call, PeerReply reply)
    {
        switch (reply)
        {
            // Where the owner works by another table the copy may lie with the wrong nodes: that does not count.
            case ReplicateReply { Outcome: ReplicateOutcome.Applied } taken when taken.TableHash == Request.TableHash:
                _copies++;
                _isAtPrimary |= call.IsPrimary;
                break;
            case ReplicateReply { Outcome: ReplicateOutcome.Older or ReplicateOutcome.Refused }:
                IsStampSpent = true;
                break;
            case PeerFault fault when call.IsPrimary:
                Lost = (call.Owner, fault);
                break;
        }
    }

    private WriteReply? Take(short token)
    {
        // A token of an earlier use must not touch the present one.
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
        {
            throw new InvalidOperationException("The write has not ended yet: await it.");
        }

        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            // Here, since the calls of a write that had to be led never let go: a token that lives long would keep all of them.
            _isReferred = _token.CanBeCanceled && !_registration.Unregister();
            (_token, _registration) = (default, default);
            LetGo();
        }
    }

    /// <summary>The caller has its result, or all owners have the entry. After both the object is used again, unless a token still refers to it.</summary>
    private void LetGo()
    {
        if (Interlocked.Decrement(ref _holds) > 0)
        {
            return;
        }

        if (_isReferred)
        {
            path.LetGo();
            return;
        }

        ArrayPool<byte>.Shared.Return(_rented);
        _core.Reset();
        path.Recycle(this);
    }

    /// <summary>The entry on its way to one owner.</summary>
    private sealed class CopyCall(RemoteWrite write) : PeerCall
    {
        public override ReplicateRequest Request => write.Request;

        public Member Owner { get; set; } = null!;

        public bool IsPrimary { get; set; }

        public TimeSpan Patience { get; set; }

        protected override void OnEnded(PeerReply? reply, Exception? error)
        {
            // What the transport throws here it throws again at whoever asks the leader, and the caller hears of it.
            reply ??= error is ObjectDisposedException ? PeerCalls.Stopped : new PeerFault(FaultKind.Failed, error!.Message);
            write.OnEnded(this, reply);
        }
    }
}
