namespace DistCache;

/// <summary>How much this node holds, and what.</summary>
public sealed class MemoryOptions
{
    /// <summary>
    /// The budget of the memory tier in bytes, 512 KiB (2 MiB where the system's pages are of 64 KiB) to 128 GiB; it counts everything: keys,
    /// values, headers, index, slack. The default is the smaller of 256 MiB and an eighth of the memory that is available to the process.
    /// </summary>
    public long SizeLimit { get; set; } = Math.Min(256L << 20, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 8);

    /// <summary>Who goes first when the budget is reached. <see cref="Eviction.Lru"/> unless set.</summary>
    public Eviction Eviction { get; set; } = Eviction.Lru;

    /// <summary>The longest key in bytes of UTF-8, 1 to 4 096; 4 096 unless set.</summary>
    public int MaximumKeyBytes { get; set; } = 4_096;

    /// <summary>The longest value in bytes, 0 to 67 108 864 (64 MiB); 64 MiB unless set.</summary>
    public int MaximumValueBytes { get; set; } = 64 << 20;

    /// <summary>How long an entry lives if its writer says nothing about it; for ever unless set.</summary>
    public TimeSpan? DefaultExpiration { get; set; }
}
