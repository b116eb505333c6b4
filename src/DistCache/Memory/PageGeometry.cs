using System.Numerics;

namespace DistCache.Memory;

/// <summary>
/// How a tier's memory is cut: regions of up to 64 MiB, in them pages, in them chunks. A chunk's handle is 32 bits: page number, then
/// the chunk's index in its page; 0 is none, since page 0 holds only the first region's page infos.
/// </summary>
internal sealed class PageGeometry
{
    /// <summary>The smallest chunk: an entry's header alone.</summary>
    public const int MinimumChunkBytes = EntryHeader.Bytes;

    /// <summary>The largest budget: that many bytes of address space can be told apart with 32 bits and chunks of 32 bytes.</summary>
    public const long MaximumBudget = (1L << 32) * MinimumChunkBytes;

    private const int MaximumRegionBytes = 64 << 20;
    /// <summary>Some 70 ms of writing as fast as one thread can: longer than a processor is usually missing.</summary>
    private const int MaximumBlocksAhead = 4;

    private const int LargestPageShift = 16;
    private const int SmallestPageShift = 13;

    /// <param name="budget">In bytes.</param>
    /// <param name="granuleBytes">What memory is committed in; 0 for the system's. A coarser one shows what becomes of a tier on systems with large pages.</param>
    public PageGeometry(long budget, int granuleBytes = 0)
    {
        GranuleBytes = granuleBytes > 0 ? granuleBytes : SystemMemory.GranuleBytes;
        // An eighth of the pages may be half empty (a page a class and shard) and the rest must still be worth having.
        var wanted = budget >= 64 << 20 ? LargestPageShift : budget >= 16 << 20 ? 14 : SmallestPageShift;
        PageShift = Math.Max(wanted, BitOperations.Log2((uint)GranuleBytes));
        ChunkBits = PageShift - BitOperations.Log2(MinimumChunkBytes);
        var regionBytes = (int)Math.Min(MaximumRegionBytes, BitOperations.RoundUpToPowerOf2((ulong)budget));
        RegionShift = BitOperations.Log2((uint)regionBytes) - PageShift;
        UsesHugeBlocks = SystemMemory.HasHugeBlocks && PageShift == LargestPageShift && budget >= 256 << 20;
        PagesAhead = UsesHugeBlocks ? (int)Math.Clamp(budget >> 28, 1, MaximumBlocksAhead) * PagesPerHugeBlock : 0;
        // Twice the budget in addresses: pages of large entries are committed in part only. Never more than handles can tell apart.
        var pages = Math.Min(1L << (32 - ChunkBits), 2 * (budget >> PageShift) + (4L << RegionShift));
        MaximumRegions = (int)(pages >> RegionShift);
    }

    /// <summary>The granule in which memory is committed.</summary>
    public int GranuleBytes { get; }

    /// <summary>log2 of the bytes of a page.</summary>
    public int PageShift { get; }

    public int PageBytes => 1 << PageShift;

    /// <summary>The bits of a handle that tell the chunks of a page apart.</summary>
    public int ChunkBits { get; }

    /// <summary>log2 of the pages of a region.</summary>
    public int RegionShift { get; }

    public int PagesPerRegion => 1 << RegionShift;

    public nuint RegionBytes => (nuint)1 << (RegionShift + PageShift);

    public int MaximumRegions { get; }

    public bool UsesHugeBlocks { get; }

    /// <summary>Free pages that are kept committed: a block for each 256 MiB of the budget, up to four.</summary>
    public int PagesAhead { get; }

    public int PagesPerHugeBlock => SystemMemory.HugeBlockBytes >> PageShift;

    /// <summary>At a region's start stand 2 bytes a page (its chunks' size), then its <see cref="PageInfo"/>s.</summary>
    public int RegionHeaderBytes => RoundToGranule((sizeof(ushort) + PageInfoBytes) << RegionShift);

    public int RegionHeaderPages => (RegionHeaderBytes + PageBytes - 1) >> PageShift;

    public const int PageInfoBytes = 32;

    public int RoundToGranule(int bytes) => (bytes + GranuleBytes - 1) & -GranuleBytes;
}
