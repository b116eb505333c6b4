using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Entries;

/// <summary>When an entry ends, on the clock of the node that holds it: milliseconds since 1970.</summary>
/// <param name="AbsoluteAt">It ends at this moment at the latest; <see cref="Never"/> for no bound.</param>
/// <param name="Window">It ends when it was not used for so many milliseconds; 0 for no such rule.</param>
internal readonly record struct Expiration(long AbsoluteAt, long Window)
{
    public const long Never = long.MaxValue;

    /// <summary>The first millisecond of the year 10 000, which <see cref="DateTimeOffset"/> does not reach.</summary>
    private const long EndOfCalendar = 253_402_300_800_000;

    public static readonly Expiration None = new(Never, 0);

    /// <summary>The first moment at which the entry is expired, if it was last used at <paramref name="lastAccess"/>.</summary>
    public long DueAt(long lastAccess) => Window == 0 ? AbsoluteAt : Math.Min(AbsoluteAt, AddSaturated(lastAccess, Window));

    /// <summary>
    /// Reads a caller's options. A relative expiration wins over an absolute one; the moment at which the entry ends is rounded up to
    /// a millisecond, so that it is never early, and saturates to <see cref="Never"/> beyond the calendar.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The absolute expiration is not in the future.</exception>
    public static Expiration From(DistributedCacheEntryOptions options, DateTimeOffset now)
    {
        if (options.AbsoluteExpiration <= now)
        {
            throw new ArgumentOutOfRangeException(
                nameof(DistributedCacheEntryOptions.AbsoluteExpiration),
                options.AbsoluteExpiration.Value,
                "The absolute expiration value must be in the future.");
        }

        var absoluteAt = options switch
        {
            { AbsoluteExpirationRelativeToNow: { } relative } =>
                CeilingMilliseconds(AddSaturated((now - DateTimeOffset.UnixEpoch).Ticks, relative.Ticks)),
            { AbsoluteExpiration: { } absolute } => CeilingMilliseconds((absolute - DateTimeOffset.UnixEpoch).Ticks),
            _ => Never,
        };
        return new Expiration(
            absoluteAt >= EndOfCalendar ? Never : absoluteAt,
            options.SlidingExpiration is { } window ? CeilingMilliseconds(window.Ticks) : 0);
    }

    /// <summary>The form in which it travels: no clock of ours means anything to a peer, durations do.</summary>
    public RemainingTime ToRemaining(long lastAccess, long now) => new(
        AbsoluteAt == Never ? Never : Math.Max(0, AbsoluteAt - now),
        Window,
        Window == 0 ? 0 : Math.Max(0, now - lastAccess));

    internal static long AddSaturated(long moment, long duration) => moment > Never - duration ? Never : moment + duration;

    private static long CeilingMilliseconds(long ticks) =>
        (ticks / TimeSpan.TicksPerMillisecond) + (ticks % TimeSpan.TicksPerMillisecond > 0 ? 1 : 0);
}

/// <summary>
/// An expiration as it travels between nodes, in milliseconds that do not depend on anybody's clock. A negative one, which only a
/// peer in error sends, counts as 0.
/// </summary>
/// <param name="Absolute">Until the absolute end; <see cref="Expiration.Never"/> for no bound.</param>
/// <param name="Window">The sliding window; 0 for none.</param>
/// <param name="Idle">Since the last use; 0 where there is no window.</param>
internal readonly record struct RemainingTime(long Absolute, long Window, long Idle)
{
    public static readonly RemainingTime Unlimited = new(Expiration.Never, 0, 0);

    /// <summary>The same expiration on the clock of the receiver, whose time is <paramref name="now"/>.</summary>
    public Expiration ToExpiration(long now) =>
        new(Absolute == Expiration.Never ? Expiration.Never : Expiration.AddSaturated(now, Math.Max(0, Absolute)), Math.Max(0, Window));

    /// <summary>The moment of the last use on the clock of the receiver.</summary>
    public long ToLastAccess(long now) => now - Math.Max(0, Idle);
}
