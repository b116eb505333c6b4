using System.Numerics;
using System.Runtime.InteropServices;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// How often keys were used lately: a count-min sketch (Cormode and Muthukrishnan, 2005) with 4-bit counters, four a key, all four
/// within one cache line, 8 bytes an entry. All counters are halved every ten times as many uses as there are entries, so the past
/// fades. It doubles by copying itself: a key's counters are then where its next bit says, with the same counts. The counters live in pages
/// of the pool; its shard's lock guards it.
/// </summary>
internal sealed class FrequencySketch(PagePool pool, int shard)
{
    public const int MaximumCount = 15;

    private const int BlockWords = 8;
    private const int EntriesPerBlock = 8;
    private const int Depth = 4;
    private const int AgingFactor = 10;
    private const ulong HalvingMask = 0x7777_7777_7777_7777;

    private readonly int _wordsPerPageShift = BitOperations.Log2((uint)pool.Memory.Geometry.PageBytes / sizeof(ulong));
    private readonly List<int> _pages = [];
    private int _usesUntilAging;
    private int _entries;

    public int PageCount => _pages.Count;

    private int BlockCount => _pages.Count << (_wordsPerPageShift - 3);

    public void Increment(ulong keyHash)
    {
        if (_pages.Count == 0)
        {
            return;
        }

        var mixed = StableHash.Mix(keyHash);
        var block = Block(mixed);
        for (var i = 0; i < Depth; i++)
        {
            ref var word = ref Word(block, mixed, i, out var shift);
            word += (word >> shift & MaximumCount) < MaximumCount ? 1UL << shift : 0;
        }

        if (--_usesUntilAging <= 0)
        {
            Age();
        }
    }

    public int Estimate(ulong keyHash)
    {
        if (_pages.Count == 0)
        {
            return 0;
        }

        var mixed = StableHash.Mix(keyHash);
        var block = Block(mixed);
        var least = (ulong)MaximumCount;
        for (var i = 0; i < Depth; i++)
        {
            var word = Word(block, mixed, i, out var shift);
            least = Math.Min(least, word >> shift & MaximumCount);
        }

        return (int)least;
    }

    /// <summary>Makes room for the counters of so many entries; false if the pool has no page for that.</summary>
    public bool TryResize(int entries)
    {
        _entries = entries;
        if (entries == 0)
        {
            _pages.ForEach(pool.Give);
            _pages.Clear();
            return true;
        }

        if (entries <= BlockCount * (long)EntriesPerBlock)
        {
            return true;
        }

        var had = _pages.Count;
        for (var added = 0; added < Math.Max(1, had); added++)
        {
            if (!pool.TryTake(PageState.Table, shard, out var page))
            {
                Drop(_pages.Count - had);
                return false;
            }

            _pages.Add(page);
        }

        if (had == 0)
        {
            Words(_pages[0]).Clear();
        }

        for (var i = 0; i < had; i++)
        {
            pool.Memory.Page(_pages[i]).CopyTo(pool.Memory.Page(_pages[had + i]));
        }

        _usesUntilAging = had == 0 ? AgingFactor * entries : _usesUntilAging;
        return true;
    }

    private void Drop(int count)
    {
        for (; count > 0; count--)
        {
            pool.Give(_pages[^1]);
            _pages.RemoveAt(_pages.Count - 1);
        }
    }

    private Span<ulong> Words(int page) => MemoryMarshal.Cast<byte, ulong>(pool.Memory.Page(page));

    private Span<ulong> Block(ulong mixed)
    {
        var block = (int)(mixed >> 40) & (BlockCount - 1);
        var word = block * BlockWords;
        return Words(_pages[word >> _wordsPerPageShift]).Slice(word & ((1 << _wordsPerPageShift) - 1), BlockWords);
    }

    /// <summary>Row i owns words 2i and 2i + 1: one bit chooses the word, four the counter.</summary>
    private static ref ulong Word(Span<ulong> block, ulong mixed, int row, out int shift)
    {
        var bits = (int)(mixed >> (row * 8));
        shift = (bits & 15) << 2;
        return ref block[(row << 1) + (bits >> 4 & 1)];
    }

    private void Age()
    {
        foreach (var page in _pages)
        {
            foreach (ref var word in Words(page))
            {
                word = word >> 1 & HalvingMask;
            }
        }

        _usesUntilAging = AgingFactor * Math.Max(_entries, 1) / 2;
    }
}
