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

    private readonly byte* _start;
    private readonly int _unitShift;
    private readonly int _pageShift;
    private readonly int _unitsPerPageShift;

    private readonly uint _firstHandle;

    /// <summary>
    /// From the first one on so many handles may be looked at by anybody, with half a page, the longest entry, behind each. It only grows.
    /// </summary>
    private uint _openHandles;

    /// <exception cref="InsufficientMemoryException">The process does not have so many addresses.</exception>
    public PageMemory(PageGeometry geometry)
    {
        if (geometry.AddressBytes > nuint.MaxValue / 2)
        {
            throw new InsufficientMemoryException(
                $"The memory tier needs {geometry.AddressBytes} bytes of addresses, more than a process of {8 * sizeof(nuint)} bits has: lower its budget.");
        }

        Geometry = geometry;
        Handle = new AddressRange((nuint)geometry.AddressBytes, (nuint)(geometry.UsesHugeBlocks ? SystemMemory.HugeBlockBytes : geometry.GranuleBytes));
        _start = (byte*)Handle.Start;
        _unitShift = geometry.UnitShift;
        _pageShift = geometry.PageShift;
        _unitsPerPageShift = geometry.PageShift - geometry.UnitShift;
        _firstHandle = HandleOf(geometry.FirstPage, 0);
        Debug.Assert(sizeof(PageInfo) == PageGeometry.PageInfoBytes && sizeof(EntryHeader) == EntryHeader.Bytes && sizeof(Memory.Bucket) == Memory.Bucket.Bytes);
    }

    public PageGeometry Geometry { get; }

    public AddressRange Handle { get; }

    /// <summary>One above the last page of all regions so far; the first is <see cref="PageGeometry.FirstPage"/>.</summary>
    public int PageCount => Geometry.FirstPageOf(RegionCount);

    public int RegionCount { get; private set; }

    /// <summary>Opens the next region and commits its infos; false if there is no more. The pool's lock orders the calls.</summary>
    public bool TryAddRegion()
    {
        var (first, end) = (PageCount, Geometry.FirstPageOf(RegionCount + 1));
        if (RegionCount == Geometry.MaximumRegions
            || !TryOpenInfos(first, end)
            || !SystemMemory.TryOpen((nint)PageAddress(first), (nuint)(end - first) << _pageShift))
        {
            return false;
        }

        RegionCount++;
        Volatile.Write(ref _openHandles, (uint)((((ulong)(end - Geometry.FirstPage) << _pageShift) - HalfPage) >> _unitShift) + 1);
        return true;
    }

    public ref PageInfo Info(int page) => ref Unsafe.AsRef<PageInfo>((PageInfo*)_start + page);

    public int PageOf(uint handle) => (int)(handle >> _unitsPerPageShift);

    /// <summary>Where in its page a chunk begins, in units.</summary>
    public int UnitOf(uint handle) => (int)(handle & ((1u << _unitsPerPageShift) - 1));

    public uint HandleOf(int page, int unit) => ((uint)page << _unitsPerPageShift) | (uint)unit;

    public ref EntryHeader Header(uint handle)
    {
        CheckHandle(handle);
        return ref Unsafe.AsRef<EntryHeader>(AddressOf(handle));
    }

    /// <summary>The chunk with its header; of a large entry the first page.</summary>
    public Span<byte> Chunk(uint handle)
    {
        CheckHandle(handle);
        return new(AddressOf(handle), Info(PageOf(handle)).ChunkUnits << _unitShift);
    }

    public Span<byte> Page(int page) => new(PageAddress(page), 1 << _pageShift);

    /// <summary>Needs no lock if the page is, or once was, one of buckets.</summary>
    public ref Bucket Bucket(int page, int index) => ref Unsafe.AsRef<Bucket>((Bucket*)PageAddress(page) + index);

    /// <summary>Has the processor fetch a header. Needs no lock: any handle will do, if it is of no chunk that does no harm.</summary>
    public void Prefetch(uint handle)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(AddressOf(handle));
        }
    }

    /// <summary>Has the processor fetch what is known of a live entry's page.</summary>
    public void PrefetchInfo(uint handle)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0((PageInfo*)_start + PageOf(handle));
        }
    }

    /// <summary>
    /// An entry as it was, without any lock: the handle may be stale, or nonsense, and so may be what stands there. Never touches memory
    /// but the tier's own, which stays mapped as long as anybody refers to this; false where the parts do not fit together. Only where
    /// <see cref="SystemMemory.CanReadReleased"/>; not of large entries.
    /// </summary>
    /// <param name="handle">Of the entry.</param>
    /// <param name="shape">What its header says of its parts; read once, so that what was checked is what is used.</param>
    /// <param name="entry">Header, key and value: as long as the shape says.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryGlance(uint handle, out EntryShape shape, out ReadOnlySpan<byte> entry)
    {
        if (handle - _firstHandle >= Volatile.Read(ref _openHandles))
        {
            shape = default;
            entry = default;
            return false;
        }

        var address = AddressOf(handle);
        FetchEntry(address);
        shape = ((EntryHeader*)address)->Shape;
        var bytes = shape.TotalBytes;
        entry = new ReadOnlySpan<byte>(address, bytes);
        return bytes <= HalfPage;
    }

    public bool TryCommit(int page, int bytes) => SystemMemory.TryCommit((nint)PageAddress(page), (nuint)bytes);

    public void CommitHugeBlocks(int first, int end) => SystemMemory.CommitHugeBlocks((nint)PageAddress(first), (nuint)(end - first) << _pageShift);

    public void Decommit(int page, int fromByte, int bytes) => SystemMemory.Decommit((nint)PageAddress(page) + fromByte, (nuint)bytes);

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

    /// <summary>Those of the pages from <paramref name="first"/> on; of a region with few pages they share a granule with others.</summary>
    private bool TryOpenInfos(int first, int end)
    {
        var granule = (nint)Geometry.GranuleBytes;
        var start = (nint)((PageInfo*)_start + first) & -granule;
        var bytes = (nuint)((nint)((PageInfo*)_start + end) + granule - 1 - start) & (nuint)(-granule);
        return SystemMemory.TryOpen(start, bytes) && SystemMemory.TryCommit(start, bytes);
    }

    private uint HalfPage => 1u << (_pageShift - 1);

    private byte* AddressOf(uint handle) => _start + ((nuint)handle << _unitShift);

    private byte* PageAddress(int page) => _start + ((nuint)page << _pageShift);

    [Conditional("DEBUG")]
    private void CheckHandle(uint handle) => Debug.Assert(
        handle != 0 && Info(PageOf(handle)).State is PageState.Slab or PageState.LargeHead, "The handle is not of an entry's page.");
}
