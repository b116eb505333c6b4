namespace DistCache.Entries;

/// <summary>
/// When an entry was written, by the hybrid logical clock of the node that stamped it. Versions are ordered by clock, then by
/// origin; the higher one wins everywhere. The default value is older than every stamped one.
/// </summary>
/// <param name="Clock">Milliseconds since 1970 shifted left by 16, plus a counter (see <see cref="HybridClock"/>).</param>
/// <param name="Origin">A 32-bit hash of the stamping node's name and incarnation.</param>
internal readonly record struct EntryVersion(ulong Clock, uint Origin) : IComparable<EntryVersion>
{
    public int CompareTo(EntryVersion other)
    {
        var byClock = Clock.CompareTo(other.Clock);
        return byClock != 0 ? byClock : Origin.CompareTo(other.Origin);
    }

    public static bool operator <(EntryVersion left, EntryVersion right) => left.CompareTo(right) < 0;

    public static bool operator >(EntryVersion left, EntryVersion right) => left.CompareTo(right) > 0;

    public static bool operator <=(EntryVersion left, EntryVersion right) => left.CompareTo(right) <= 0;

    public static bool operator >=(EntryVersion left, EntryVersion right) => left.CompareTo(right) >= 0;

    public override string ToString() => $"{Clock >> 16}.{Clock & 0xFFFF}@{Origin:x8}";
}
