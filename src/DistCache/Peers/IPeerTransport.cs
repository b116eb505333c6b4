namespace DistCache.Peers;

/// <summary>How a node reaches others: gRPC in production, a virtual network in the simulation.</summary>
internal interface IPeerTransport
{
    /// <summary>A lane to a peer broke, or its dial failed other than by silence; membership probes that peer at once.</summary>
    event Action<PeerAddress>? Broken;

    /// <summary>
    /// Sends a request on its lane, dialling if need be, and gives the reply, or a <see cref="PeerFault"/> when none came within
    /// <paramref name="timeout"/>; for a while after a dial that failed the same fault at once, unless the request <see cref="PeerRequest.DialsAnew"/>.
    /// Carries the sender's hybrid clock along and merges the peer's.
    /// </summary>
    /// <remarks>A large value has more time: <see cref="PeerRequest.ExtraTime"/> is added, and for a large reply <see cref="LaneLimits.TimeForLargeReply"/>.</remarks>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    ValueTask<PeerReply> SendAsync(PeerAddress to, PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken);

    /// <summary>The same for a call that brings its own way to go on.</summary>
    void Send(PeerAddress to, PeerCall call, TimeSpan timeout, CancellationToken cancellationToken) =>
        _ = CarryAsync(this, to, call, timeout, cancellationToken);

    private static async Task CarryAsync(IPeerTransport transport, PeerAddress to, PeerCall call, TimeSpan timeout, CancellationToken cancellationToken)
    {
        try
        {
            call.EndWith(await transport.SendAsync(to, call.Request, timeout, cancellationToken).ConfigureAwait(false));
        }
        catch (Exception exception)
        {
            call.EndWith(exception);
        }

        call.GoOn();
    }
}

/// <summary>What a node does with the requests of others.</summary>
internal interface IPeerHandler
{
    /// <summary>Answers a request of an authenticated peer. An exception becomes <see cref="FaultKind.Failed"/> at the sender.</summary>
    ValueTask<PeerReply> HandleAsync(NodeIdentity from, PeerRequest request, CancellationToken cancellationToken);

    /// <summary>
    /// Answers a read at once and without an object, its value in <paramref name="room"/> if it fits: if not, the answer says how long it is
    /// and is asked for again. False for a handler that answers reads like all else.
    /// </summary>
    bool TryRead(in ReadQuestion question, Span<byte> room, out ReadHead answer)
    {
        answer = default;
        return false;
    }
}
