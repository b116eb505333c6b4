using System.Diagnostics.CodeAnalysis;
using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>
/// Hands views to the subscribers one after another, in the order in which they were built, from whichever thread finds some waiting.
/// 1 thread A enqueues view 1 and raises it; 2 thread B enqueues view 2 meanwhile and returns; 3 A finds view 2 and raises it too.
/// </summary>
internal sealed class ViewPublisher(MembershipView initial, ILogger logger)
{
    private readonly Lock _lock = new();
    private readonly Queue<MembershipView> _waiting = [];
    private volatile MembershipView _current = initial;
    private bool _isRaising;

    public event Action<MembershipView>? Changed;

    /// <summary>The newest, which may not have been raised yet.</summary>
    public MembershipView Current => _current;

    /// <summary>Called in the order of the views. One that equals its predecessor is dropped.</summary>
    public void Enqueue(MembershipView view)
    {
        lock (_lock)
        {
            if (view.Self != _current.Self || !view.Members.SequenceEqual(_current.Members))
            {
                _current = view;
                _waiting.Enqueue(view);
            }
        }
    }

    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "One subscriber's fault must not keep the news from the others, nor stop the loop.")]
    public void Raise()
    {
        while (Next() is { } view)
        {
            foreach (var subscriber in Changed?.GetInvocationList() ?? [])
            {
                try
                {
                    ((Action<MembershipView>)subscriber)(view);
                }
                catch (Exception exception)
                {
                    Log.ViewSubscriberFailed(logger, exception);
                }
            }

            lock (_lock)
            {
                _isRaising = false;
            }
        }
    }

    private MembershipView? Next()
    {
        lock (_lock)
        {
            if (_isRaising || !_waiting.TryDequeue(out var view))
            {
                return null;
            }

            _isRaising = true;
            return view;
        }
    }
}
