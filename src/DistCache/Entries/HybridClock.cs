namespace DistCache.Entries;

/// <summary>
/// A hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014) in 64 bits: next = max(now in ms ≪ 16, last + 1), so an
/// overflow of the 16-bit counter carries into the milliseconds. Every message carries the sender's clock and its receiver
/// merges it; a clock too far ahead is refused, because one wrong machine would drag the whole cluster along.
/// </summary>
internal sealed class HybridClock(TimeProvider time)
{
    /// <summary>The most that a foreign clock may be ahead of ours.</summary>
    public static readonly TimeSpan MaximumLead = TimeSpan.FromHours(24);

    /// <summary>The lowest bits count within a millisecond.</summary>
    public const int CounterBits = 16;

    private ulong _last;

    /// <summary>The clock as messages carry it; does not advance it.</summary>
    public ulong Current => Math.Max(Now, Volatile.Read(ref _last));

    /// <summary>A value above every one that this clock has given or merged.</summary>
    public ulong Next()
    {
        while (true)
        {
            var last = Volatile.Read(ref _last);
            var next = Math.Max(Now, last + 1);
            if (Interlocked.CompareExchange(ref _last, next, last) == last)
            {
                return next;
            }
        }
    }

    /// <summary>Makes sure that <see cref="Next"/> is above <paramref name="remote"/>; false, and unchanged, if that is too far ahead.</summary>
    public bool TryMerge(ulong remote)
    {
        var last = Volatile.Read(ref _last);
        if (remote <= last)
        {
            return true;
        }

        if (IsTooFarAhead(remote))
        {
            return false;
        }

        while (remote > last)
        {
            var seen = Interlocked.CompareExchange(ref _last, remote, last);
            if (seen == last)
            {
                break;
            }

            last = seen;
        }

        return true;
    }

    public bool IsTooFarAhead(ulong remote) => remote > Now + ((ulong)MaximumLead.TotalMilliseconds << CounterBits);

    private ulong Now => (ulong)Math.Max(0, time.GetUtcNow().ToUnixTimeMilliseconds()) << CounterBits;
}
