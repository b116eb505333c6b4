namespace DistCache.Peers;

/// <summary>
/// A request on its way to a peer, and what goes on when it has ended: with a reply, a fault or an exception, once. The transport has it
/// to itself from being given it until then. Made to be used again: where requests are many, one object is the request, the wait for
/// its reply and the task of whoever asked.
/// <para>
/// Two have a hold on a call that is in flight, and it goes on when both have let go: whoever sends it, and whoever ends it. So nobody
/// uses it again while its sender still reads from it.
/// </para>
/// </summary>
internal abstract class PeerCall
{
    private const int SenderAndEnder = 2;

    private CancellationTokenRegistration _registration;
    private Exception? _error;
    private int _holds;

    public abstract PeerRequest Request { get; }

    public CancellationToken CancellationToken { get; set; }

    /// <summary>By the timestamps of the transport's clock.</summary>
    public long Deadline { get; set; }

    /// <summary>What the request counts for among the bytes in flight.</summary>
    public int Weight { get; set; }

    /// <summary>Names the call among those that the transport has in flight.</summary>
    public uint Id { get; set; }

    /// <summary>What of the transport has it in flight.</summary>
    public object? Carrier { get; set; }

    /// <summary>What it has ended with; null before that, or where it was an exception.</summary>
    public PeerReply? Reply { get; private set; }

    /// <summary>It goes out: from now on two have a hold on it.</summary>
    public void Begin()
    {
        Reply = null;
        _holds = SenderAndEnder;
    }

    /// <summary>Asks to be told when the caller gives up; the state of <paramref name="giveUp"/> is this call.</summary>
    public void WatchToken(Action<object?> giveUp)
    {
        if (CancellationToken.CanBeCanceled)
        {
            // Of an earlier lane, where it was sent before.
            _registration.Dispose();
            _registration = CancellationToken.UnsafeRegister(giveUp, this);
        }
    }

    /// <summary>The peer has answered that its reply is a large one and follows, in the time that such a one takes.</summary>
    public virtual void OnFollows()
    {
    }

    /// <summary>Says what it ends with, before its ender lets go.</summary>
    public void EndWith(PeerReply reply) => Reply = reply;

    public void EndWith(Exception error) => _error = error;

    /// <summary>True for the last one, who sees to it that the call goes on.</summary>
    public bool LetGo() => Interlocked.Decrement(ref _holds) == 0;

    /// <summary>
    /// Tells what it ended with, on a thread that may run an application's code for as long as that likes; or before the transport has
    /// returned from taking the call.
    /// </summary>
    public void GoOn()
    {
        // Waits for a callback that is running: after this no token refers to the call.
        _registration.Dispose();
        _registration = default;
        var (reply, error) = (Reply, _error);
        (Reply, _error, Carrier, CancellationToken) = (null, null, null, default);
        OnEnded(reply, error);
    }

    /// <summary>One of the two is there.</summary>
    protected abstract void OnEnded(PeerReply? reply, Exception? error);
}
