using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>What this node remembers of one member. Only <see cref="Beliefs"/> and <see cref="Settling"/> change it.</summary>
internal sealed class MemberEntry(MemberRecord record, long since)
{
    /// <summary>What is believed; accuser and settling are filled in when it is told to others.</summary>
    public MemberRecord Record { get; set; } = record;

    /// <summary>Since when it is in this state.</summary>
    public long Since { get; set; } = since;

    /// <summary>Runs while it is Suspect, and while a Leaving one is silent.</summary>
    public Suspicion? Suspicion { get; set; }

    /// <summary>The first who accused it, for the rumour.</summary>
    public NodeName Accuser { get; set; }

    /// <summary>Others say that it is dead and this node has not seen for itself yet.</summary>
    public bool IsClaimedDead { get; set; }

    /// <summary>It counts for the table, a quarantine apart.</summary>
    public bool IsSettled { get; set; }

    /// <summary>When it came or went, while that is not settled yet.</summary>
    public long? UnsettledSince { get; set; }

    /// <summary>It owns nothing before this.</summary>
    public long QuarantinedUntil { get; set; } = long.MinValue;

    /// <summary>It was given up by mistake: before this it gets <see cref="SwimTiming.Patience"/>.</summary>
    public long PatientUntil { get; set; } = long.MinValue;

    /// <summary>When death took its slots away, lately.</summary>
    public List<long> Removals { get; } = [];

    /// <summary>When it answered last on the data lane, which is as good as a probe.</summary>
    public long HeardAt { get; set; } = long.MinValue;

    /// <summary>When its address refused us last.</summary>
    public long RefusedAt { get; set; } = long.MinValue;

    public NodeName Name => Record.Identity.Name;

    public MemberState State => Record.State;

    /// <summary>It is worth talking to.</summary>
    public bool IsLive => State is MemberState.Alive or MemberState.Suspect or MemberState.Leaving;

    /// <summary>It was given up lately: see <see cref="SwimTiming.RecentDeath"/>.</summary>
    public bool IsRecentlyDead(long now) => State == MemberState.Dead && Since > now - SwimTiming.RecentDeath;
}
