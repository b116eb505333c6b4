using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// The copies of one write: who still works on them, how many exist, and when that is enough. Owns the bytes that travel, which
/// outlive the acknowledgement as long as a slow replica still reads them. Open for its maker and for the sending at first; nothing is enough before all is sent.
/// </summary>
internal sealed class CopyTally
{
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _enough = new();
    private readonly IEnumerator<Member> _standIns;
    private readonly byte[] _buffer;
    private readonly int _needed;
    private int _open = 2;
    private int _copies = 1;
    private int _awaited = 1;
    private volatile bool _isLacking;
    private volatile bool _mayComeLater;
    private EntryVersion _newer;

    /// <param name="request">The write; its bytes are copied.</param>
    /// <param name="needed">So many copies are enough; this node's own is the first.</param>
    /// <param name="standIns">Nodes that can hold a copy for an owner that does not answer, best first.</param>
    /// <param name="deadline">When nobody waits for the copies any more, as a timestamp.</param>
    public CopyTally(WriteRequest request, int needed, IEnumerable<Member> standIns, long deadline)
    {
        var keyLength = request.Key.Length;
        _buffer = ValueBytes.Rent(keyLength + request.Value.Length);
        request.Key.CopyTo(_buffer);
        request.Value.CopyTo(_buffer.AsMemory(keyLength));
        Entry = new EntryRecord(
            _buffer.AsMemory(0, keyLength),
            request.Version,
            request.Remaining,
            request.Remove ? EntryFlags.Tombstone : EntryFlags.None,
            _buffer.AsMemory(keyLength, request.Value.Length));
        Deadline = deadline;
        _needed = needed;
        _standIns = standIns.GetEnumerator();
    }

    public EntryRecord Entry { get; }

    public long Deadline { get; }

    /// <summary>Ends when enough copies exist, or when nobody works on one any more.</summary>
    public Task Enough => _enough.Task;

    public int Copies
    {
        get
        {
            lock (_lock)
            {
                return _copies;
            }
        }
    }

    /// <summary>The highest version that a replica holds instead of this one; default if none does.</summary>
    public EntryVersion Newer
    {
        get
        {
            lock (_lock)
            {
                return _newer;
            }
        }
    }

    /// <summary>Somebody has no room for a copy, now or later, and nobody else failed to take one: so there will be no more.</summary>
    public bool IsLackingForGood => _isLacking && !_mayComeLater;

    /// <summary>Somebody starts to work on a copy; ends with <see cref="Close"/>.</summary>
    public void Open() => Interlocked.Increment(ref _open);

    public void Copied() => Count(copies: 1, awaited: 0);

    /// <summary>An owner whom reads ask before this node: without his copy, or word that he takes none, nothing is enough.</summary>
    public void Await() => Count(copies: 0, awaited: 1);

    /// <summary>He has it, or takes none; or all was sent.</summary>
    public void NoLongerAwaited() => Count(copies: 0, awaited: -1);

    /// <summary>Somebody did not take a copy, and never will; or could not be asked, or did not answer.</summary>
    public void Lack(bool isForGood)
    {
        if (!isForGood)
        {
            _mayComeLater = true;
        }

        _isLacking = true;
    }

    /// <summary>A replica holds a higher version: as good as a copy, if that one is not lost on the way.</summary>
    public void Superseded(EntryVersion held)
    {
        lock (_lock)
        {
            _newer = held > _newer ? held : _newer;
        }

        Copied();
    }

    public bool TryTakeStandIn(out Member standIn)
    {
        lock (_lock)
        {
            var isThere = _standIns.MoveNext();
            standIn = isThere ? _standIns.Current : null!;
            return isThere;
        }
    }

    /// <summary>Somebody's work is over: when only the maker is left nothing more will come, and when it closes too the bytes go back.</summary>
    public void Close()
    {
        var open = Interlocked.Decrement(ref _open);
        if (open == 1)
        {
            _enough.TrySetResult();
        }
        else if (open == 0)
        {
            ValueBytes.Return(_buffer);
        }
    }

    private void Count(int copies, int awaited)
    {
        bool isEnough;
        lock (_lock)
        {
            _copies += copies;
            _awaited += awaited;
            isEnough = _copies >= _needed && _awaited == 0;
        }

        if (isEnough)
        {
            _enough.TrySetResult();
        }
    }
}
