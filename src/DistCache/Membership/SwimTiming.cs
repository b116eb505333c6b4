namespace DistCache.Membership;

/// <summary>The numbers of a profile. Times are in milliseconds: <see cref="Swim"/> counts in nothing else.</summary>
internal sealed record SwimTiming
{
    public static readonly SwimTiming Lan = new()
    {
        ProbeInterval = 1_000,
        ProbeTimeout = 500,
        SuspicionMaximumFactor = 6,
        GossipInterval = 200,
        ExchangeInterval = 15_000,
        RedialInterval = 10_000,
        SettleWindow = 3_000,
    };

    public static readonly SwimTiming Fast = new()
    {
        ProbeInterval = 500,
        ProbeTimeout = 200,
        SuspicionMaximumFactor = 4,
        GossipInterval = 100,
        ExchangeInterval = 10_000,
        RedialInterval = 5_000,
        SettleWindow = 1_000,
    };

    /// <summary>Members asked to probe one that did not answer, and members told in each gossip.</summary>
    public const int IndirectProbes = 3;
    public const int FanOut = 3;

    /// <summary>Refusals that must confirm the prober's own before a member is dead without suspicion; fewer where there are fewer members.</summary>
    public const int RefusalConfirmations = 2;

    /// <summary>Accusers beside the first that bring the time of a suspicion from its maximum down to its minimum.</summary>
    public const int SuspicionConfirmations = 2;

    public const int HealthMaximum = 8;

    /// <summary>Churn postpones a change of ownership to so many settle windows, no more.</summary>
    public const int MaximumSettleWindows = 3;

    private const int SuspicionMultiplier = 4;
    private const int RetransmitMultiplier = 4;
    private const int MinimumTellings = 8;

    /// <summary>Two removals within it put a member in quarantine; one false one makes everybody patient with it for as long.</summary>
    public const long RemovalMemory = 10 * 60_000;

    public const long Quarantine = 5 * 60_000;

    /// <summary>The shortest suspicion of a member that was given up by mistake lately: a link that comes and goes must not move data each time.</summary>
    public const long Patience = 30_000;

    /// <summary>
    /// So long after its death a member is dialled as often as others are probed: most cuts heal soon, and until then each side shows its callers what the
    /// other has overwritten.
    /// </summary>
    public const long RecentDeath = 60_000;

    /// <summary>How long the dead are remembered: they are dialled meanwhile, since a cut may heal. A later rumour of a reaped one starts it anew.</summary>
    public const long DeadRetention = 60 * 60_000;

    /// <summary>How long those who left are remembered: longer than any rumour travels.</summary>
    public const long LeftRetention = 10 * 60_000;

    /// <summary>A clock that is further ahead than this is wrong, and so is the incarnation made from it.</summary>
    public const long MaximumIncarnationLead = 24 * 60 * 60_000L;

    public const int MaximumMembers = 256;

    public required long ProbeInterval { get; init; }

    public required long ProbeTimeout { get; init; }

    public required int SuspicionMaximumFactor { get; init; }

    public required long GossipInterval { get; init; }

    public required long ExchangeInterval { get; init; }

    public required long RedialInterval { get; init; }

    public required long SettleWindow { get; init; }

    /// <summary>A helper answers before its asker gives up on it, so that silence of the helper itself can be told from silence of the target.</summary>
    public long HelperTimeout => ProbeTimeout * 4 / 5;

    public static SwimTiming Of(ClusterProfile profile) => profile switch
    {
        ClusterProfile.Lan => Lan,
        ClusterProfile.Fast => Fast,
        _ => throw new ArgumentOutOfRangeException(nameof(profile), profile, "Expected Lan or Fast."),
    };

    /// <summary>4 × max(1, log10 n) × the probe interval: in a large cluster news, and so a refutation, needs longer.</summary>
    public long SuspicionMinimum(int members) =>
        (long)(SuspicionMultiplier * Math.Max(1, Math.Log10(Math.Max(1, members))) * ProbeInterval);

    public long SuspicionMaximum(int members) => SuspicionMaximumFactor * SuspicionMinimum(members);

    /// <summary>4 × ⌈log10(n + 1)⌉, 8 at least: after so many tellings practically every member knows. With 4 one of seven to nine missed a rumour now and then.</summary>
    public static int RetransmitLimit(int members) => Math.Max(MinimumTellings, RetransmitMultiplier * (int)Math.Ceiling(Math.Log10(members + 1)));
}
