using System.Diagnostics;

namespace ThreeNodes;

/// <summary>A write that the cache acknowledged: begun at <see cref="Stamp.Start"/>, over at <paramref name="End"/>.</summary>
internal readonly record struct Write(int Key, Stamp Stamp, long End);

/// <summary>What a node showed when it was asked for a key at the end.</summary>
internal enum Shown
{
    Value,
    Nothing,
    Damaged,
    Failed,
}

/// <summary>One read of the final check.</summary>
internal readonly record struct Reading(int Key, Shown Shown, Stamp Stamp);

/// <summary>What the ledger says about a reading.</summary>
internal enum Verdict
{
    Kept,
    Missing,
    Older,
    Damaged,
    Unreadable,
}

/// <summary>
/// The book of acknowledged writes, and the judge over what is read at the end. Several nodes write the same key at once, so nobody
/// knows which of two overlapping writes is the last; but a write that had *ended* before another acknowledged one *began* must never be
/// seen again. So a key is kept if its value is there and is not provably older than any acknowledged write of that key.
/// <para>
/// Writes that are not in the book: those that failed (their effect is unknown) and those that a killed node made in its last moment and
/// could not report. Such a value counts as concurrent, unless it began so long before an acknowledged write that it must have been over
/// when that began.
/// </para>
/// </summary>
internal sealed class Ledger
{
    /// <summary>Far above the longest that a write can take, which is ReplicationOptions.Timeout: one second.</summary>
    private static readonly long Grace = 3 * Stopwatch.Frequency;

    private readonly Lock _lock = new();
    private readonly Dictionary<int, Page> _pages = [];
    private long _count;

    /// <summary>How many writes were acknowledged.</summary>
    public long Count => Interlocked.Read(ref _count);

    /// <summary>The keys that must be there.</summary>
    public int[] Keys()
    {
        lock (_lock)
        {
            return [.. _pages.Keys];
        }
    }

    public void Add(in Write write)
    {
        Interlocked.Increment(ref _count);
        lock (_lock)
        {
            if (!_pages.TryGetValue(write.Key, out var page))
            {
                _pages.Add(write.Key, page = new Page());
            }

            page.LatestStart = Math.Max(page.LatestStart, write.Stamp.Start);

            // What ended so long before the latest write would be judged as older without its entry too: the book stays small.
            page.Writes.RemoveAll(known => known.End < page.LatestStart - Grace);
            page.Writes.Add(write);
        }
    }

    public Verdict Judge(in Reading reading)
    {
        switch (reading.Shown)
        {
            case Shown.Nothing:
                return Verdict.Missing;
            case Shown.Damaged:
                return Verdict.Damaged;
            case Shown.Failed:
                return Verdict.Unreadable;
        }

        lock (_lock)
        {
            return _pages.TryGetValue(reading.Key, out var page) && IsOlder(page, reading.Stamp) ? Verdict.Older : Verdict.Kept;
        }
    }

    private static bool IsOlder(Page page, Stamp stamp)
    {
        foreach (var write in page.Writes)
        {
            if (write.Stamp == stamp)
            {
                return write.End < page.LatestStart;
            }
        }

        return stamp.Start < page.LatestStart - Grace;
    }

    /// <summary>What is known of one key.</summary>
    private sealed class Page
    {
        /// <summary>When the youngest acknowledged write began: whatever had ended by then is superseded.</summary>
        public long LatestStart { get; set; } = long.MinValue / 2;

        public List<Write> Writes { get; } = [];
    }
}
