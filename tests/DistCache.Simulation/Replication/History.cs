namespace DistCache.Simulation.Replication;

/// <summary>A write: its place in time, and whether it was acknowledged. <see cref="End"/> is the end of time for one that was not.</summary>
internal sealed record Write(string Key, int? Value, TimeSpan Start)
{
    public TimeSpan End { get; set; } = TimeSpan.MaxValue;

    public bool IsAcknowledged => End < TimeSpan.MaxValue;
}

/// <summary>
/// Everything that callers wrote, and what of it a read may give. A write is over when it was acknowledged; one that was not may take
/// effect at any time.
/// </summary>
internal sealed class History
{
    /// <summary>Versions are ordered by milliseconds: two writes on different sides of a split that are closer than this may win either way.</summary>
    private static readonly TimeSpan Resolution = TimeSpan.FromMilliseconds(5);

    private readonly Dictionary<string, List<Write>> _writes = [];
    private int _lastValue;

    public IReadOnlyCollection<string> Keys => _writes.Keys;

    public int Acknowledged => _writes.Values.Sum(writes => writes.Count(write => write.IsAcknowledged));

    public Write Begin(string key, bool isRemove, TimeSpan now)
    {
        var write = new Write(key, isRemove ? null : ++_lastValue, now);
        (_writes.TryGetValue(key, out var writes) ? writes : _writes[key] = []).Add(write);
        return write;
    }

    /// <summary>What is wrong with a read that began at <paramref name="start"/> and gave <paramref name="value"/>; null if nothing is.</summary>
    public string? Judge(string key, int? value, TimeSpan start)
    {
        var writes = _writes.GetValueOrDefault(key) ?? [];
        var before = writes.Where(write => write.End <= start).ToList();
        var sources = writes.Where(write => write.Value == value).ToList();
        if (value is not null && sources.Count == 0)
        {
            return $"{key} gave {value}, which nobody wrote";
        }

        if (value is null && before.Count == 0)
        {
            return null;
        }

        var newest = before.MaxBy(write => write.Start);
        return newest is null || sources.Any(source => source.End >= newest.Start - Resolution)
            ? null
            : $"{key} gave {value?.ToString() ?? "nothing"}, after {newest.Value?.ToString() ?? "its removal"} was acknowledged (it began at {newest.Start} and ended at {newest.End})";
    }
}
