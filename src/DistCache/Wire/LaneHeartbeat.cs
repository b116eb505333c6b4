using Microsoft.AspNetCore.Connections.Features;

namespace DistCache.Wire;

/// <summary>
/// The server's look at a connection, which wakes its reader through the thread pool. Once a second for a stranger, whose time it counts; for a lane it has only to
/// notice that <see cref="KeepAlive.ListenerDelay"/> is over, so every few seconds will do: a node has three lanes from each peer. By the clock, so
/// that all are looked at together.
/// </summary>
internal sealed class LaneHeartbeat(Guest guest, IConnectionHeartbeatFeature heartbeat, TimeProvider time, TimeSpan interval) : IConnectionHeartbeatFeature
{
    public void OnHeartbeat(Action<object> action, object state)
    {
        var last = long.MinValue;
        heartbeat.OnHeartbeat(
            stateAgain =>
            {
                var now = (long)(time.GetElapsedTime(0) / interval);
                if (guest.IsKnown && now == last)
                {
                    return;
                }

                last = now;
                action(stateAgain);
            },
            state);
    }
}
