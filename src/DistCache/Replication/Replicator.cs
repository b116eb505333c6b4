using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>The verbs of this folder, put together for one node, and the hand that gives each request to the verb that answers it.</summary>
internal sealed class Replicator
{
    private static readonly PeerFault Unsure = new(FaultKind.Failed, "This node stood still for longer than removals may be remembered, and does not know yet what it missed.");

    private static readonly PeerFault ApartForTooLong = new(FaultKind.Failed, "Apart for longer than tombstones live: one of both sides must begin anew.");

    private readonly TimeSpan _greetTimeout;
    private readonly Pulse _pulse;
    private readonly MissedUses _missedUses;
    private readonly Renewals _renewals;
    private readonly Takeover _takeover;
    private readonly Transfer _transfer;
    private readonly Offer _offer;
    private readonly Debts _debts;
    private readonly Release _release;
    private readonly Absences _absences;
    private readonly AntiEntropy _antiEntropy;
    private readonly StopCheck _stopCheck;
    private readonly Reunion _reunion;
    private volatile bool _isOpen;

    public Replicator(
        MembershipView view,
        MemoryTier memory,
        IPeerTransport transport,
        HybridClock clock,
        TimeProvider time,
        TimeProvider signTime,
        Random random,
        ReplicationOptions options,
        ILogger logger)
    {
        _absences = new Absences(time, options.TombstoneLifetime);
        Ownership = new Ownership(view, _absences, options.ReplicaCount, logger);
        Calls = new PeerCalls(transport, time);
        _greetTimeout = 2 * options.Timeout;
        _missedUses = new MissedUses(Ownership, memory, Calls, time, options, logger);
        _renewals = new Renewals(Ownership, memory, Calls, _missedUses, time, options);
        _reunion = new Reunion(Ownership, _absences, memory, Calls, time, options, logger);
        _pulse = new Pulse(Ownership, _absences, time, signTime, options.Timeout, logger);
        _offer = new Offer(memory, Calls, time, options);
        _debts = new Debts(Ownership, Calls, _offer, time, logger);
        Owned = new OwnedWrites(Ownership, memory, Calls, _debts, clock, time, options);
        Writes = new WritePath(Ownership, Owned, Calls, _debts, clock, time, options);
        var age = new VersionAge(clock, time, options);
        var repair = new ReadRepair(Ownership, Owned, Calls, age, options);
        var recency = new Recency(Ownership, Calls, time, options);
        Reads = new ReadPath(Ownership, memory, Calls, repair, _renewals, recency, _pulse, time, options);
        _transfer = new Transfer(memory, Owned, Calls, clock, time, options);
        _takeover = new Takeover(Ownership, memory, Calls, _transfer, _absences, time, options, logger);
        _release = new Release(Ownership, memory, _offer, time, logger);
        _antiEntropy = new AntiEntropy(Ownership, memory, Calls, _offer, _debts, _absences, age, time, random, options, logger);
        _stopCheck = new StopCheck(Ownership, memory, Calls, _debts, _release, options);
    }

    public Ownership Ownership { get; }

    public PeerCalls Calls { get; }

    public ReadPath Reads { get; }

    public WritePath Writes { get; }

    public OwnedWrites Owned { get; }

    /// <summary>Gives this node another incarnation, which says to the others that it started empty.</summary>
    public Action TakeNewLife
    {
        set => _reunion.TakeNewLife = value;
    }

    /// <summary>Nothing is held here that other nodes own: a leaving node may go.</summary>
    public bool IsHandedOver => _release.IsDone;

    /// <summary>Nothing that callers on this node asked for is under way.</summary>
    public bool IsIdle => Reads.IsIdle && Writes.IsIdle;

    /// <summary>Whether this node may stop without handing over, and nothing is lost.</summary>
    public Task<bool> IsSafeToStopAsync(CancellationToken cancellationToken) => _stopCheck.IsSafeAsync(cancellationToken);

    public void Start()
    {
        Ownership.RoutingChanged += FollowMembers;
        _pulse.Start();
        _takeover.Start();
        _release.Start();
        _antiEntropy.Start();
        _reunion.Start();
        _missedUses.Start();
    }

    /// <summary>Callers on this node get nothing from others any more, and nothing of theirs is taken; what is under way goes on.</summary>
    public void Close()
    {
        Reads.Close();
        Owned.Close();
        Writes.Close();
    }

    public void Stop()
    {
        Ownership.RoutingChanged -= FollowMembers;
        _pulse.Stop();
        _takeover.Stop();
        _debts.Stop();
        _release.Stop();
        _antiEntropy.Stop();
        _reunion.Stop();
        _missedUses.Stop();
    }

    /// <summary>
    /// From now on this node answers for what it owns. Before it has joined it believes that it owns everything, and would tell
    /// others who remember its past that nothing is there.
    /// </summary>
    public void Open() => _isOpen = true;

    /// <summary>Answers a read without an object; see <see cref="IPeerHandler.TryRead"/>.</summary>
    public ReadHead Answer(in ReadQuestion question, Span<byte> room) =>
        _isOpen || question.AsHolder ? Reads.Answer(question, room) : ReadPath.NotMine(Ownership.Current);

    /// <summary>Whether it matters who asks: no answer about entries may reach a stranger, who may not know yet that he is one.</summary>
    public bool MustKnowWhoAsks => _absences.HasStrangers;

    /// <summary>Answers a request about entries; null for one that is about something else.</summary>
    public ValueTask<PeerReply>? Handle(NodeIdentity from, PeerRequest request)
    {
        // Before anything is given away of which it does not know whether it is still good.
        _pulse.NoticeStandstill();
        return request switch
        {
            ReadRequest or WriteRequest or ReplicateRequest or TouchRequest or TransferRequest or CompareRequest or DigestRequest
                when _absences.IsStranger(from) => new(ApartForTooLong),
            ReadRequest { AsHolder: false } when !_isOpen => new(ReadReply.Of(ReadPath.NotMine(Ownership.Current), default, rented: [])),
            WriteRequest when !_isOpen => new(new WriteReply(WriteOutcome.NotMine, Ownership.Current.Table.Hash, 0, 0)),
            ReadRequest read => new(Reads.Handle(read)),
            WriteRequest write => Owned.HandleAsync(write),
            ReplicateRequest replicate => new(Owned.Handle(replicate)),
            TouchRequest touch => new(_renewals.Handle(touch)),
            HoldingsRequest holdings => new(_takeover.Handle(holdings)),
            TransferRequest when Ownership.Current.IsUnsure => new(Unsure),
            TransferRequest transfer => new(_transfer.Handle(transfer)),
            CompareRequest compare => new(_offer.Handle(compare, Ownership.Current)),
            DigestRequest digest => new(_antiEntropy.Handle(digest)),
            _ => null,
        };
    }

    /// <summary>A round of anti-entropy, now.</summary>
    public Task CompareAsync() => _antiEntropy.CompareWithAllAsync();

    /// <summary>Opens the lanes to all members that are known now.</summary>
    public Task GreetAsync() => Calls.GreetAsync(Ownership.Current, _greetTimeout);

    private void FollowMembers()
    {
        _missedUses.Follow(Ownership.Current.View);
        _ = GreetAsync();
    }
}
