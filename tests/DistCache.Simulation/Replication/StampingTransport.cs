using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Simulation.Replication;

/// <summary>A request with its sender's clock, as every message on the wire carries it.</summary>
internal sealed record StampedRequest(PeerRequest Request, ulong Clock) : PeerRequest
{
    public override Lane Lane => Request.Lane;

    public override TimeSpan ExtraTime => Request.ExtraTime;
}

internal sealed record StampedReply(PeerReply Reply, ulong Clock) : PeerReply;

/// <summary>
/// Does what the wire does besides carrying: sends clocks along, and copies the bytes of a request when it is sent, so that a message
/// which arrives late or twice still says what it said.
/// </summary>
internal sealed class StampingTransport(IPeerTransport inner, HybridClock clock) : IPeerTransport
{
    public event Action<PeerAddress>? Broken
    {
        add => inner.Broken += value;
        remove => inner.Broken -= value;
    }

    public async ValueTask<PeerReply> SendAsync(PeerAddress to, PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var reply = await inner.SendAsync(to, new StampedRequest(Copy(request), clock.Current), timeout, cancellationToken).ConfigureAwait(false);
        if (reply is StampedReply stamped)
        {
            clock.TryMerge(stamped.Clock);
            return stamped.Reply;
        }

        return reply;
    }

    private static PeerRequest Copy(PeerRequest request) => request switch
    {
        ReadRequest read => read with { Key = read.Key.ToArray() },
        WriteRequest write => write with { Key = write.Key.ToArray(), Value = write.Value.ToArray() },
        ReplicateRequest { Entry: { } entry } replicate => replicate with
        {
            Entry = entry with { Key = entry.Key.ToArray(), Value = entry.Value.ToArray() },
        },
        _ => request,
    };
}
