using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace DistCache.Memory;

/// <summary>
/// Turns page numbers and handles into references and spans: with <see cref="SystemMemory"/> the only type that knows an address. It
/// trusts its callers that a handle is of a live chunk and that they hold its shard's lock, except in <see cref="TryGlance"/>; debug builds
/// check the first and fill freed memory with <see cref="Poison"/>.
/// </summary>
internal sealed unsafe class PageMemory
{
    public const byte Poison = 0xDD;

    private const int CacheLineBytes = 64;

    private readonly nint[] _regions;
    private readonly int _pageShift;
    private readonly int _chunkBits;
    private readonly int _regionShift;
    private readonly int _regionMask;

    public PageMemory(PageGeometry geometry)
    {
        Geometry = geometry;
        _regions = new nint[geometry.MaximumRegions];
        _pageShift = geometry.PageShift;
        _chunkBits = geometry.ChunkBits;
        _regionShift = geometry.RegionShift;
        _regionMask = geometry.PagesPerRegion - 1;
        Debug.Assert(sizeof(PageInfo) == PageGeometry.PageInfoBytes && sizeof(EntryHeader) == EntryHeader.Bytes && sizeof(Memory.Bucket) == Memory.Bucket.Bytes);
    }

    public PageGeometry Geometry { get; }

    public RegionsHandle Handle { get; } = new();

    /// <summary>Pages of all regions so far, those of the region headers too.</summary>
    public int PageCount => RegionCount << _regionShift;

    public int RegionCount { get; private set; }

    /// <summary>Reserves the next region and commits its header; false if there is no more. The pool's lock orders the calls.</summary>
    public bool TryAddRegion()
    {
        if (RegionCount == _regions.Length)
        {
            return false;
        }

        var alignment = Geometry.UsesHugeBlocks ? SystemMemory.HugeBlockBytes : Geometry.GranuleBytes;
        var address = Handle.Reserve(Geometry.RegionBytes, (nuint)alignment);
        if (address == 0 || !SystemMemory.TryCommit(address, (nuint)Geometry.RegionHeaderBytes))
        {
            return false;
        }

        _regions[RegionCount] = address;
        RegionCount++;
        return true;
    }

    public ref PageInfo Info(int page)
    {
        CheckPage(page);
        var infos = _regions[page >> _regionShift] + (sizeof(ushort) << _regionShift);
        return ref Unsafe.AsRef<PageInfo>((PageInfo*)infos + (page & _regionMask));
    }

    /// <summary>The size of the chunks of a page; read at every look-up, so it is kept apart, two bytes a page.</summary>
    public int ChunkBytes(int page) => ChunkUnits(page) << 3;

    public void SetChunkBytes(int page, int bytes) => ChunkUnits(page) = (ushort)(bytes >> 3);

    public int PageOf(uint handle) => (int)(handle >> _chunkBits);

    public int IndexOf(uint handle) => (int)(handle & ((1u << _chunkBits) - 1));

    public uint HandleOf(int page, int index) => ((uint)page << _chunkBits) | (uint)index;

    public ref EntryHeader Header(uint handle) => ref Unsafe.AsRef<EntryHeader>((void*)AddressOf(handle));

    /// <summary>The chunk with its header; of a large entry the first page.</summary>
    public Span<byte> Chunk(uint handle) => new((void*)AddressOf(handle), ChunkBytes(PageOf(handle)));

    public Span<byte> Page(int page) => new((void*)PageAddress(page), 1 << _pageShift);

    public ref Bucket Bucket(int page, int index) => ref Unsafe.AsRef<Bucket>((Bucket*)PageAddress(page) + index);

    /// <summary>The same without the lock; false where the region is not there for this thread yet.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryBucket(int page, int index, out ReadOnlySpan<Bucket> bucket)
    {
        var start = _regions[page >> _regionShift];
        bucket = start == 0 ? default : new((Bucket*)(start + ((nint)(page & _regionMask) << _pageShift)) + index, 1);
        return start != 0;
    }

    /// <summary>Has the processor fetch a header. Needs no lock: a stale handle names a wrong one, which does no harm.</summary>
    public void Prefetch(uint handle)
    {
        if (Sse.IsSupported && handle != 0)
        {
            var page = PageOf(handle);
            Sse.Prefetch0((byte*)PageAddress(page) + (IndexOf(handle) * ChunkBytes(page)));
        }
    }

    /// <summary>Has the processor fetch what is known of a live entry's page.</summary>
    public void PrefetchInfo(uint handle)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(Unsafe.AsPointer(ref Info(PageOf(handle))));
        }
    }

    /// <summary>
    /// A header as it was, and its chunk, without any lock: the handle may be stale, or nonsense, and so may be what stands there. Never
    /// touches memory but the tier's own, which stays mapped as long as anybody refers to this; false where the parts do not fit together.
    /// Only where <see cref="SystemMemory.CanReadReleased"/>; not of large entries.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryGlance(uint handle, out EntryHeader header, out ReadOnlySpan<byte> chunk)
    {
        header = default;
        chunk = default;
        var page = PageOf(handle);
        var region = page >> _regionShift;
        if (region >= _regions.Length || _regions[region] == 0)
        {
            return false;
        }

        var start = _regions[region];
        var bytes = *((ushort*)start + (page & _regionMask)) << 3;
        var offset = IndexOf(handle) * bytes;
        if (bytes < sizeof(EntryHeader) || bytes > 1 << (_pageShift - 1) || offset + bytes > 1 << _pageShift)
        {
            return false;
        }

        var address = (byte*)start + ((nint)(page & _regionMask) << _pageShift) + offset;
        FetchEntry(address);
        // Read once: what was checked is what is used.
        header = *(EntryHeader*)address;
        chunk = new ReadOnlySpan<byte>(address, bytes);
        return header.TotalBytes <= bytes;
    }

    public bool TryCommit(int page, int bytes) => SystemMemory.TryCommit(PageAddress(page), (nuint)bytes);

    public void CommitHugeBlocks(int first, int end) => SystemMemory.CommitHugeBlocks(PageAddress(first), (nuint)(end - first) << _pageShift);

    public void Decommit(int page, int fromByte, int bytes) => SystemMemory.Decommit(PageAddress(page) + fromByte, (nuint)bytes);

    [Conditional("DEBUG")]
    public void PoisonChunk(uint handle) => Chunk(handle).Fill(Poison);

    [Conditional("DEBUG")]
    public void PoisonPage(int page) => Page(page)[..Info(page).CommittedBytes].Fill(Poison);

    /// <summary>Fetches the first three cache lines of an entry at once, rather than one after the other as they are needed.</summary>
    private static void FetchEntry(byte* address)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(address);
            Sse.Prefetch0(address + CacheLineBytes);
            Sse.Prefetch0(address + (2 * CacheLineBytes));
        }
    }

    private ref ushort ChunkUnits(int page)
    {
        CheckPage(page);
        return ref Unsafe.AsRef<ushort>((ushort*)_regions[page >> _regionShift] + (page & _regionMask));
    }

    private nint AddressOf(uint handle)
    {
        var page = PageOf(handle);
        Debug.Assert(handle != 0 && Info(page).State is PageState.Slab or PageState.LargeHead, "The handle is not of an entry's page.");
        return PageAddress(page) + (IndexOf(handle) * ChunkBytes(page));
    }

    private nint PageAddress(int page)
    {
        CheckPage(page);
        return _regions[page >> _regionShift] + ((nint)(page & _regionMask) << _pageShift);
    }

    [Conditional("DEBUG")]
    private void CheckPage(int page) => Debug.Assert((uint)page < (uint)PageCount, "There is no such page.");
}
