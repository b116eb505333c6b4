namespace DistCache.Memory;

/// <summary>
/// The sizes of chunks, all of them whole units. Up to 256 bytes every multiple of 8, or of the unit where that is larger; from there sixteen steps a doubling, so that rounding up costs 3 % in the
/// mean; where fewer than 32 fit into a page, the largest that still fit that many times. What is larger than half a page takes pages
/// of its own.
/// </summary>
internal sealed class SizeClasses
{
    private const int FineLimit = 256;
    private const int StepsPerDoubling = 16;
    private const int FewPerPage = 32;

    private readonly int[] _chunkBytes;
    private readonly byte[] _classOf;

    public SizeClasses(int pageBytes, int unitBytes)
    {
        _chunkBytes = [.. Build(pageBytes, unitBytes)];
        PageBytes = pageBytes;
        LargestChunkBytes = _chunkBytes[^1];
        _classOf = new byte[(LargestChunkBytes >> 3) + 1];
        for (int units = 0, current = 0; units < _classOf.Length; units++)
        {
            current += _chunkBytes[current] < units << 3 ? 1 : 0;
            _classOf[units] = (byte)current;
        }
    }

    public int PageBytes { get; }

    public int Count => _chunkBytes.Length;

    /// <summary>Entries up to this size live in chunks.</summary>
    public int LargestChunkBytes { get; }

    /// <summary>The number that stands for large entries where an entry's class is asked for.</summary>
    public int LargeClass => _chunkBytes.Length;

    public int ChunkBytes(int sizeClass) => _chunkBytes[sizeClass];

    public int ChunksPerPage(int sizeClass) => PageBytes / _chunkBytes[sizeClass];

    /// <summary>The class of the smallest chunk that takes <paramref name="bytes"/>, or <see cref="LargeClass"/>.</summary>
    public int ClassOf(long bytes) => bytes > LargestChunkBytes ? LargeClass : _classOf[(bytes + 7) >> 3];

    private static IEnumerable<int> Build(int pageBytes, int unitBytes)
    {
        var size = PageGeometry.MinimumChunkBytes;
        while (pageBytes / size > FewPerPage)
        {
            yield return size;
            var doubling = Math.Max(FineLimit >> 1, 1 << int.Log2(size));
            size += Math.Max(unitBytes, doubling / StepsPerDoubling);
        }

        for (var perPage = pageBytes / size; perPage >= 2; perPage--)
        {
            yield return pageBytes / perPage & -unitBytes;
        }
    }
}
