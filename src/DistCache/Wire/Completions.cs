using System.Collections.Concurrent;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// Where the calls of a node go on when they have ended: the one place of the wire that runs an application's code, and the one hop of a
/// request. A reader that has no more to read drains the queue itself, after its next read has begun, so that nothing waits for it;
/// anybody else has the thread pool do it.
/// <para>
/// One that blocks holds nobody up: as long as more calls wait there is a helper in the pool, queued or at work. While one is queued,
/// requests that drained calls send are written together when the drain, or that helper, gets to it: 32 callers that wake up together
/// ask together.
/// </para>
/// </summary>
internal sealed class Completions : IThreadPoolWorkItem
{
    /// <summary>This thread is draining.</summary>
    [ThreadStatic]
    private static bool _isDraining;

    /// <summary>This thread handles requests that came together, which blocks nowhere.</summary>
    [ThreadStatic]
    private static bool _isHandling;

    private readonly ConcurrentQueue<PeerCall> _ended = new();
    private BatchWriter? _deferred;
    private int _helper;

    private bool HasQueuedHelper => Volatile.Read(ref _helper) != 0;

    /// <summary>Takes a call that has ended; somebody must drain after it.</summary>
    public void Add(PeerCall call) => _ended.Enqueue(call);

    /// <summary>Has the thread pool drain.</summary>
    public void Schedule()
    {
        if (!_ended.IsEmpty && Interlocked.Exchange(ref _helper, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        // In this order: who defers a write looks for the helper after it did.
        Interlocked.Exchange(ref _helper, 0);
        WakeDeferred();
        Drain();
    }

    /// <summary>Lets calls go on, here, until no more wait. Not for a thread that anything else waits for.</summary>
    public void Drain()
    {
        var isOutermost = !_isDraining;
        _isDraining = true;
        while (_ended.TryDequeue(out var call))
        {
            Schedule();
            call.GoOn();
        }

        _isDraining = !isOutermost;
        WakeDeferred();
    }

    /// <summary>Until <see cref="EndHandling"/> on the same thread, what is sent is put off: for requests that came together.</summary>
    public static void BeginHandling() => _isHandling = true;

    public void EndHandling()
    {
        _isHandling = false;
        WakeDeferred();
    }

    /// <summary>Wakes the writer, now or when a helper that is sure to come gets to it.</summary>
    public void Wake(BatchWriter writer)
    {
        if (!_isHandling && !(_isDraining && HasQueuedHelper))
        {
            writer.Wake();
            return;
        }

        if (writer.TryDefer())
        {
            Push(writer);
        }

        // The helper may have begun in between, and not seen this one.
        if (!_isHandling && !HasQueuedHelper)
        {
            WakeDeferred();
        }
    }

    private void Push(BatchWriter writer)
    {
        BatchWriter? head;
        do
        {
            // In a local: as soon as the writer stands in the list another thread may take it out and clear its link.
            head = Volatile.Read(ref _deferred);
            writer.NextDeferred = head;
        }
        while (Interlocked.CompareExchange(ref _deferred, writer, head) != head);
    }

    private void WakeDeferred()
    {
        if (Volatile.Read(ref _deferred) is null)
        {
            return;
        }

        var writer = Interlocked.Exchange(ref _deferred, null);
        while (writer is not null)
        {
            var next = writer.NextDeferred;
            writer.NextDeferred = null;
            writer.EndDeferral();
            writer.Wake();
            writer = next;
        }
    }
}
