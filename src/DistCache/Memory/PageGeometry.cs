using System.Numerics;

namespace DistCache.Memory;

/// <summary>
/// How a tier's addresses are cut: one range of pages; the first ones hold what is known of all the others (<see cref="PageInfo"/>), these
/// are opened a region of up to 64 MiB at a time and cut into chunks. A handle is 32 bits: how many units from the range's start. 0 is
/// none, since the first page holds no chunk.
/// </summary>
internal sealed class PageGeometry
{
    /// <summary>The smallest chunk: an entry's header alone.</summary>
    public const int MinimumChunkBytes = EntryHeader.Bytes;

    /// <summary>The largest budget: the addresses that 32 bits can tell apart in steps of the largest unit.</summary>
    public const long MaximumBudget = 1L << (32 + LargestUnitShift);

    public const int PageInfoBytes = 32;

    private const int MaximumRegionBytes = 64 << 20;

    /// <summary>Some 70 ms of writing as fast as one thread can: longer than a processor is usually missing.</summary>
    private const int MaximumBlocksAhead = 4;

    private const int LargestPageShift = 16;
    private const int SmallestPageShift = 13;
    private const int LargestUnitShift = 5;
    private const int SmallestUnitShift = 3;

    /// <param name="budget">In bytes.</param>
    /// <param name="granuleBytes">What memory is committed in; 0 for the system's. A coarser one shows what becomes of a tier on systems with large pages.</param>
    public PageGeometry(long budget, int granuleBytes = 0)
    {
        GranuleBytes = granuleBytes > 0 ? granuleBytes : SystemMemory.GranuleBytes;
        // An eighth of the pages may be half empty (a page a class and shard) and the rest must still be worth having.
        var wanted = budget >= 64 << 20 ? LargestPageShift : budget >= 16 << 20 ? 14 : SmallestPageShift;
        PageShift = Math.Max(wanted, BitOperations.Log2((uint)GranuleBytes));
        var regionBytes = (int)Math.Min(MaximumRegionBytes, BitOperations.RoundUpToPowerOf2((ulong)budget));
        RegionShift = BitOperations.Log2((uint)regionBytes) - PageShift;
        UsesHugeBlocks = SystemMemory.HasHugeBlocks && PageShift == LargestPageShift && budget >= 256 << 20;
        PagesAhead = UsesHugeBlocks ? (int)Math.Clamp(budget >> 28, 1, MaximumBlocksAhead) * PagesPerHugeBlock : 0;
        // Twice the budget in addresses: pages of large entries are committed in part only. Never more than handles can tell apart.
        var pages = Math.Min(MaximumBudget >> PageShift, 2 * (budget >> PageShift) + (4L << RegionShift));
        // So many that they hold their own infos, which nobody needs, too; then whole blocks.
        var infoPages = (pages * PageInfoBytes / (PageBytes - PageInfoBytes)) + 1;
        var alignment = UsesHugeBlocks ? PagesPerHugeBlock : 1;
        FirstPage = (int)((infoPages + alignment - 1) / alignment * alignment);
        MaximumRegions = (int)(Math.Min(pages, (MaximumBudget >> PageShift) - FirstPage) >> RegionShift);
        UnitShift = SmallestUnitShift;
        while (AddressBytes > 1UL << (32 + UnitShift))
        {
            UnitShift++;
        }
    }

    /// <summary>The granule in which memory is committed.</summary>
    public int GranuleBytes { get; }

    /// <summary>log2 of the bytes of a page.</summary>
    public int PageShift { get; }

    public int PageBytes => 1 << PageShift;

    /// <summary>log2 of what chunks begin at multiples of: 8 bytes for budgets up to nearly 16 GiB, 16 up to nearly 32 GiB, then 32.</summary>
    public int UnitShift { get; }

    public int UnitBytes => 1 << UnitShift;

    /// <summary>log2 of the pages of a region.</summary>
    public int RegionShift { get; }

    /// <summary>The first page of the first region; before it stand the infos.</summary>
    public int FirstPage { get; }

    public int MaximumRegions { get; }

    /// <summary>All of the range: more than a process of 32 bits has, where the budget is large.</summary>
    public ulong AddressBytes => (ulong)(FirstPage + ((long)MaximumRegions << RegionShift)) << PageShift;

    public bool UsesHugeBlocks { get; }

    /// <summary>Free pages that are kept committed: a block for each 256 MiB of the budget, up to four.</summary>
    public int PagesAhead { get; }

    public int PagesPerHugeBlock => SystemMemory.HugeBlockBytes >> PageShift;

    /// <summary>What a region takes of the budget before a page of it is used: the infos of its pages.</summary>
    public int RegionInfoBytes => RoundToGranule(PageInfoBytes << RegionShift);

    public int FirstPageOf(int region) => FirstPage + (region << RegionShift);

    public int RegionOf(int page) => (page - FirstPage) >> RegionShift;

    public int RoundToGranule(int bytes) => (bytes + GranuleBytes - 1) & -GranuleBytes;
}
