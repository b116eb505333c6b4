using DistCache.Entries;

namespace DistCache.Simulation.Replication;

/// <summary>A write: its place in time, and whether it was acknowledged. <see cref="End"/> is the end of time for one that was not.</summary>
/// <param name="Key">What was written.</param>
/// <param name="Value">A number that no other write has; null for a removal.</param>
/// <param name="Start">When its caller began.</param>
/// <param name="Lifetime">After so long it is expired; null for never.</param>
/// <param name="IsSliding">Each use begins the lifetime anew.</param>
internal sealed record Write(string Key, int? Value, TimeSpan Start, TimeSpan? Lifetime = null, bool IsSliding = false)
{
    public TimeSpan End { get; private set; } = TimeSpan.MaxValue;

    /// <summary>The highest that any node which ran, and the writer knew of, held of the key when this was acknowledged: its own, or that of a later write.</summary>
    public EntryVersion? Version { get; private set; }

    /// <summary>It goes some day, and may be forgotten then.</summary>
    public bool HasEnd => Value is null || Lifetime is not null;

    public bool IsAcknowledged => End < TimeSpan.MaxValue;

    /// <summary>All nodes worked by one table when it was acknowledged, and answered each other in time.</summary>
    public bool WasSettled { get; private set; }

    public void Acknowledge(TimeSpan now, EntryVersion? held, bool isSettled) => (End, Version, WasSettled) = (now, held, isSettled);
}

/// <summary>
/// Everything that callers wrote, and what of it a read may give. A write is over when it was acknowledged; one that was not may take
/// effect at any time.
/// </summary>
internal sealed class History
{
    private readonly Dictionary<string, List<Write>> _writes = [];
    private readonly Dictionary<string, TimeSpan> _used = [];
    private readonly List<(TimeSpan From, TimeSpan To)> _estranged = [];
    private int _lastValue;

    public IReadOnlyCollection<string> Keys => _writes.Keys;

    public int Acknowledged => _writes.Values.Sum(writes => writes.Count(write => write.IsAcknowledged));

    /// <summary>
    /// Versions are ordered by milliseconds: two writes on different sides of a split that are closer than this may win either way, and expiry
    /// is no finer.
    /// </summary>
    private static readonly TimeSpan Resolution = TimeSpan.FromMilliseconds(5);

    /// <summary>The same while tables differ or answers are late: a node whose clock is behind the others' has what the last message told it.</summary>
    public TimeSpan UnsettledResolution { get; set; } = Resolution;

    /// <summary>Messages take their time, and what remains of a lifetime is told in them; one that a paused node found late lives longer by that.</summary>
    public TimeSpan ExpirySlack { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Uses that were not told to an owner which was away may make it end earlier there than elsewhere.</summary>
    public bool HasSliding(string key) => _writes[key].Exists(write => write.IsSliding);

    /// <summary>More copies were lost at once than the promise covers: what was written before may be gone, in whole or in part.</summary>
    public void Forgive(TimeSpan now) => ForgivenUntil = now;

    public TimeSpan ForgivenUntil { get; private set; }

    /// <summary>
    /// From here on to <see cref="Reconcile"/> a node that started anew is cut off from others that do not know of it: what ends on one side, and
    /// is confirmed there, does not hide what the other side has.
    /// </summary>
    public void Estrange(TimeSpan now)
    {
        if (!IsEstranged)
        {
            _estranged.Add((now, TimeSpan.MaxValue));
        }
    }

    public bool IsEstranged => _estranged.Count > 0 && _estranged[^1].To == TimeSpan.MaxValue;

    public void Reconcile(TimeSpan now)
    {
        if (IsEstranged)
        {
            _estranged[^1] = (_estranged[^1].From, now);
        }
    }

    public Write Begin(string key, bool isRemove, TimeSpan now, TimeSpan? lifetime = null, bool isSliding = false)
    {
        var write = new Write(key, isRemove ? null : ++_lastValue, now, isRemove ? null : lifetime, isSliding);
        (_writes.TryGetValue(key, out var writes) ? writes : _writes[key] = []).Add(write);
        return write;
    }

    /// <summary>A read of this key ended: whoever answered it counted a use no later than this.</summary>
    public void Use(string key, TimeSpan now) => _used[key] = now;

    /// <summary>
    /// What is wrong with a read that began at <paramref name="start"/>, ended at <paramref name="end"/> and gave <paramref name="value"/>; null
    /// if nothing is.
    /// </summary>
    public string? Judge(string key, int? value, TimeSpan start, TimeSpan end)
    {
        var writes = _writes.GetValueOrDefault(key) ?? [];
        var before = writes.Where(write => write.End <= start && write.Start >= ForgivenUntil).ToList();
        var sources = writes.Where(write => write.Value == value || (value is null && write.Start + write.Lifetime <= end + Resolution)).ToList();
        if (value is not null && sources.Count == 0)
        {
            return $"{key} gave {value}, which nobody wrote";
        }

        if (value is not null && sources[0] is { IsAcknowledged: true } source && LastUse(source) + source.Lifetime + ExpirySlack < start)
        {
            return $"{key} gave {value}, which was acknowledged at {source.End}, last used at {LastUse(source)} and expired {source.Lifetime} later";
        }

        if (value is null && before.Count == 0)
        {
            return null;
        }

        var newest = before.MaxBy(write => write.Start);
        return newest is null || sources.Exists(source => before.TrueForAll(write => MayHide(source, write) || before.Exists(later => later.Start >= write.End && MayBeUndone(later))))
            ? null
            : $"{key} gave {value?.ToString() ?? "nothing"}, after {newest.Value?.ToString() ?? "its removal"}{(newest.Lifetime is null ? "" : $", to live for {newest.Lifetime},")} was acknowledged (it began at {newest.Start} and ended at {newest.End})";
    }

    private TimeSpan LastUse(Write write) =>
        write.IsSliding && _used.TryGetValue(write.Key, out var used) && used > write.End ? used : write.End;

    /// <summary>
    /// Whether a read may give <paramref name="source"/> although <paramref name="write"/> was acknowledged: it is no older; or it was out of sight, in a
    /// process that stood still or on the other side of a cut, and bears the higher version because the clocks are wrong; or its side was unknown. What such
    /// a write superseded is gone with it.
    /// </summary>
    private bool MayHide(Write source, Write write) =>
        source.End >= write.Start - (write.WasSettled ? Resolution : UnsettledResolution)
        || source.Version > write.Version
        || MayBeUndone(write);

    /// <summary>It ends, or ends another one, and was made while a side was unknown.</summary>
    private bool MayBeUndone(Write write) => write.HasEnd && _estranged.Exists(time => write.Start >= time.From && write.Start <= time.To);
}
