using System.Numerics;
using System.Runtime.InteropServices;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// How often keys were used lately: a count-min sketch (Cormode and Muthukrishnan, 2005) with 4-bit counters, four a key, all four
/// within one cache line, 8 bytes an entry. All counters are halved every ten times as many uses as there are entries, so the past
/// fades. The counters live in pages of the pool; its shard's lock guards it.
/// </summary>
/// <remarks>
/// Nobody waits for more than one page of it. It grows by a page, which is a copy of the one that had its keys (linear hashing, see
/// <see cref="LinearHash"/>), so these keep their counts. A halving is only noted, and done to a page when that is next looked at.
/// </remarks>
internal sealed class FrequencySketch(PagePool pool, int shard)
{
    public const int MaximumCount = 15;

    private const int BlockWords = 8;
    private const int EntriesPerBlock = 8;
    private const int Depth = 4;
    private const int AgingFactor = 10;
    private const int HalvingsToZero = 4;
    private const ulong HalvingMask = 0x7777_7777_7777_7777;

    private readonly int _wordsPerPageShift = BitOperations.Log2((uint)pool.Memory.Geometry.PageBytes / sizeof(ulong));
    private readonly List<CounterPage> _pages = [];
    private int _usesUntilAging;
    private int _entries;
    private int _halvings;

    public int PageCount => _pages.Count;

    private int BlocksPerPage => 1 << (_wordsPerPageShift - 3);

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
            _pages.ForEach(page => pool.Give(page.Number));
            _pages.Clear();
            return true;
        }

        while (entries > (long)_pages.Count * BlocksPerPage * EntriesPerBlock)
        {
            if (!TryAddPage())
            {
                return false;
            }
        }

        return true;
    }

    private bool TryAddPage()
    {
        if (!pool.TryTake(PageState.Table, shard, out var page))
        {
            return false;
        }

        if (_pages.Count == 0)
        {
            pool.Memory.Page(page).Clear();
            _pages.Add(new CounterPage(page, _halvings));
            _usesUntilAging = AgingFactor * _entries;
            return true;
        }

        var source = _pages[_pages.Count - (int)(BitOperations.RoundUpToPowerOf2((uint)_pages.Count + 1) >> 1)];
        pool.Memory.Page(source.Number).CopyTo(pool.Memory.Page(page));
        _pages.Add(source with { Number = page });
        return true;
    }

    private Span<ulong> Block(ulong mixed)
    {
        var block = (int)(mixed >> 40);
        return Words(PageOf(block / BlocksPerPage)).Slice(block % BlocksPerPage * BlockWords, BlockWords);
    }

    /// <summary>The lowest bits say which page, as many as there are pages for.</summary>
    private int PageOf(int bits)
    {
        var pages = (int)BitOperations.RoundUpToPowerOf2((uint)_pages.Count);
        var page = bits & (pages - 1);
        return page < _pages.Count ? page : page - (pages >> 1);
    }

    /// <summary>With all halvings up to now done.</summary>
    private Span<ulong> Words(int index)
    {
        ref var page = ref CollectionsMarshal.AsSpan(_pages)[index];
        var words = MemoryMarshal.Cast<byte, ulong>(pool.Memory.Page(page.Number));
        for (; page.Halvings != _halvings; page.Halvings = _halvings - page.Halvings > HalvingsToZero ? _halvings - HalvingsToZero : page.Halvings + 1)
        {
            foreach (ref var word in words)
            {
                word = word >> 1 & HalvingMask;
            }
        }

        return words;
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
        _halvings++;
        _usesUntilAging = AgingFactor * Math.Max(_entries, 1) / 2;
    }

    /// <param name="Number">Of the pool.</param>
    /// <param name="Halvings">How many of all halvings were done to it.</param>
    private record struct CounterPage(int Number, int Halvings);
}
