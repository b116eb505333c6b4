using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>Why a request is sent: decides what its reply means.</summary>
internal enum SendKind
{
    Probe,
    IndirectProbe,
    Gossip,
    Exchange,

    /// <summary>Asks whether another live process has this node's name.</summary>
    NameCheck,
}

/// <summary>A request that the shell is to send, and whose reply it brings back to <see cref="Swim.Replied"/>.</summary>
internal sealed record SwimSend(
    SendKind Kind, PeerAddress To, PeerRequest Request, long TimeoutMilliseconds, IReadOnlyList<Rumour>? Told = null, Probe? Probe = null, NodeName Helper = default);

/// <summary>A member changed; for the log.</summary>
internal readonly record struct MemberChange(NodeIdentity Member, MemberState? From, MemberState To, string Why);

/// <summary>Why a record, or a whole message, was not believed.</summary>
internal enum Disbelief
{
    TooManyRecords,
    IncarnationTooFarAhead,
    Malformed,
    TableFull,
}

/// <summary>What <see cref="Swim"/> wants done, in order. The shell takes it away after each step.</summary>
internal sealed class SwimEffects
{
    public List<SwimSend> Sends { get; private set; } = [];

    public List<MemberChange> Changes { get; private set; } = [];

    public List<Disbelief> Disbeliefs { get; private set; } = [];

    /// <summary>The seeds are to be resolved and dialled.</summary>
    public bool IsRedialDue { get; set; }

    /// <summary>Another live process has this node's name and a higher incarnation: this is where it lives.</summary>
    public PeerAddress? NameLostTo { get; set; }

    /// <summary>The view is to be built anew.</summary>
    public bool IsViewStale { get; set; }

    /// <summary>Gives what has gathered, and starts empty.</summary>
    public SwimEffects Take()
    {
        var taken = new SwimEffects
        {
            Sends = Sends,
            Changes = Changes,
            Disbeliefs = Disbeliefs,
            IsRedialDue = IsRedialDue,
            NameLostTo = NameLostTo,
            IsViewStale = IsViewStale,
        };
        (Sends, Changes, Disbeliefs) = ([], [], []);
        (IsRedialDue, NameLostTo, IsViewStale) = (false, null, false);
        return taken;
    }
}
