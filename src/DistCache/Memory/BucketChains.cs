using System.Numerics;
using System.Runtime.CompilerServices;

namespace DistCache.Memory;

/// <summary>
/// The buckets of an index, in pages of the pool: primary ones by number, each of which may go on in overflow buckets. Knows nothing of
/// keys, nor of which entry belongs where. Its shard's lock guards it, but for glances.
/// </summary>
internal sealed class BucketChains(PagePool pool, int shard)
{
    private readonly PageMemory _memory = pool.Memory;
    private readonly int _pageShift = BitOperations.Log2((uint)(pool.Memory.Geometry.PageBytes / Bucket.Bytes));
    private PageList _pages = new();
    private PageList _overflowPages = new();
    private int _freeOverflow;
    private int _usedOverflow;

    /// <summary>Pages that it takes.</summary>
    public int PageCount => _pages.Count + _overflowPages.Count;

    /// <summary>Primary buckets that there are pages for.</summary>
    public int Capacity => _pages.Count * BucketsPerPage;

    public int BucketsPerPage => 1 << _pageShift;

    public ref Bucket Primary(int number) => ref At(_pages, number);

    /// <summary>The bucket that goes on; its number is what <see cref="Bucket.Overflow"/> says.</summary>
    public ref Bucket Overflow(int number) => ref At(_overflowPages, number - 1);

    /// <summary>Needs no lock: no bucket, a null reference, where the numbers that it goes by make no sense together, as they do while they are changed.</summary>
    public ref readonly Bucket Glance(int number) => ref Glance(_pages, number);

    /// <summary>As <see cref="Glance(int)"/>, for a bucket that goes on.</summary>
    public ref readonly Bucket GlanceOverflow(int number) => ref Glance(_overflowPages, number - 1);

    public bool TryAddPage() => TryAddPage(ref _pages);

    /// <summary>Gives back the last page of primary buckets.</summary>
    public void GiveLastPage() => pool.Give(_pages.RemoveLast());

    /// <summary>Adds to a chain; false, and unchanged, if that takes a page and the pool has none.</summary>
    public bool TryAdd(int number, uint handle, byte hashTag, byte slotTag)
    {
        ref var bucket = ref Primary(number);
        while (bucket.IsFull)
        {
            if (bucket.Overflow == 0)
            {
                var added = TakeOverflow();
                if (added == 0)
                {
                    return false;
                }

                bucket.Overflow = added;
            }

            bucket = ref Overflow(bucket.Overflow);
        }

        bucket.Put(bucket.Count, handle, hashTag, slotTag);
        return true;
    }

    /// <summary>Makes sure that the next <see cref="TryAdd"/> to that chain takes no page; false if the pool has none.</summary>
    public bool TryReserve(int number)
    {
        ref var bucket = ref Primary(number);
        while (bucket.Overflow != 0)
        {
            bucket = ref Overflow(bucket.Overflow);
        }

        return _freeOverflow != 0 || !bucket.IsFull || TryAddOverflowPage();
    }

    public ref Bucket Find(int number, uint handle, out int place)
    {
        ref var bucket = ref Primary(number);
        while (true)
        {
            for (place = 0; place < Bucket.Capacity; place++)
            {
                if (bucket.Handles[place] == handle)
                {
                    return ref bucket;
                }
            }

            if (bucket.Overflow == 0)
            {
                throw new InvalidOperationException("An entry that is held is missing from the index.");
            }

            bucket = ref Overflow(bucket.Overflow);
        }
    }

    /// <summary>The chain's last entry fills the hole; where that empties an overflow bucket, the bucket goes.</summary>
    public void Remove(int number, uint handle)
    {
        ref var hole = ref Find(number, handle, out var place);
        ref var last = ref hole;
        while (last.Overflow != 0)
        {
            last = ref Overflow(last.Overflow);
        }

        var lastPlace = last.Count - 1;
        hole.Put(place, last.Handles[lastPlace], last.HashTags[lastPlace], last.SlotTags[lastPlace]);
        last.Put(lastPlace, 0, 0, 0);
        if (lastPlace == 0)
        {
            CutEmptyOverflow(ref Primary(number));
        }
    }

    /// <summary>Takes all out of a chain.</summary>
    public void Empty(int number, ref HandleBuffer taken)
    {
        ref var bucket = ref Primary(number);
        taken.Add(ref bucket);
        var overflow = bucket.Overflow;
        bucket = default;
        while (overflow != 0)
        {
            ref var next = ref Overflow(overflow);
            taken.Add(ref next);
            var following = next.Overflow;
            GiveOverflow(overflow);
            overflow = following;
        }
    }

    public void GiveUnusedOverflowPages()
    {
        if (_usedOverflow == 0)
        {
            _overflowPages.GiveAll(pool);
            _freeOverflow = 0;
        }
    }

    /// <summary>Gives all pages back; nothing is in the buckets any more.</summary>
    public void Clear()
    {
        _pages.GiveAll(pool);
        _usedOverflow = 0;
        GiveUnusedOverflowPages();
    }

    private ref Bucket At(in PageList pages, int index) => ref _memory.Bucket(pages[index >> _pageShift], index & (BucketsPerPage - 1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref readonly Bucket Glance(in PageList pages, int index)
    {
        if (pages.TryGet(index >> _pageShift, out var page))
        {
            return ref _memory.Bucket(page, index & (BucketsPerPage - 1));
        }

        return ref Unsafe.NullRef<Bucket>();
    }

    private void CutEmptyOverflow(ref Bucket bucket)
    {
        while (bucket.Overflow != 0)
        {
            ref var next = ref Overflow(bucket.Overflow);
            if (next.Handles[0] == 0)
            {
                GiveOverflow(bucket.Overflow);
                bucket.Overflow = 0;
                GiveUnusedOverflowPages();
                return;
            }

            bucket = ref next;
        }
    }

    private bool TryAddPage(ref PageList pages)
    {
        if (!pool.TryTake(PageState.Table, shard, out var page))
        {
            return false;
        }

        _memory.Page(page).Clear();
        pages.Add(page);
        return true;
    }

    private bool TryAddOverflowPage()
    {
        if (!TryAddPage(ref _overflowPages))
        {
            return false;
        }

        for (var i = BucketsPerPage; i > 0; i--)
        {
            var number = ((_overflowPages.Count - 1) * BucketsPerPage) + i;
            Overflow(number).Overflow = _freeOverflow;
            _freeOverflow = number;
        }

        return true;
    }

    private int TakeOverflow()
    {
        if (_freeOverflow == 0 && !TryAddOverflowPage())
        {
            return 0;
        }

        var taken = _freeOverflow;
        ref var bucket = ref Overflow(taken);
        _freeOverflow = bucket.Overflow;
        bucket = default;
        _usedOverflow++;
        return taken;
    }

    private void GiveOverflow(int number)
    {
        ref var bucket = ref Overflow(number);
        bucket = default;
        bucket.Overflow = _freeOverflow;
        _freeOverflow = number;
        _usedOverflow--;
    }

    /// <summary>Page numbers. Whoever reads it without a lock gets a page that is, or once was, one of them.</summary>
    private struct PageList()
    {
        private int[] _numbers = [];

        public int Count { get; private set; }

        public readonly int this[int index] => _numbers[index];

        public readonly bool TryGet(int index, out int page)
        {
            var numbers = _numbers;
            page = (uint)index < (uint)numbers.Length ? numbers[index] : 0;
            return page != 0;
        }

        public void Add(int page)
        {
            if (Count == _numbers.Length)
            {
                Array.Resize(ref _numbers, Math.Max(4, 2 * Count));
            }

            _numbers[Count++] = page;
        }

        public int RemoveLast() => _numbers[--Count];

        public void GiveAll(PagePool pool)
        {
            for (; Count > 0; Count--)
            {
                pool.Give(_numbers[Count - 1]);
            }

            _numbers = [];
        }
    }
}

/// <summary>The entries of a chain; on the stack unless it is very long.</summary>
internal ref struct HandleBuffer(Span<uint> initial)
{
    private Span<uint> _handles = initial;
    private int _count;

    public readonly ReadOnlySpan<uint> Written => _handles[.._count];

    public void Add(ref Bucket bucket)
    {
        if (_count + Bucket.Capacity > _handles.Length)
        {
            var larger = new uint[_handles.Length * 2];
            _handles[.._count].CopyTo(larger);
            _handles = larger;
        }

        for (var i = 0; i < Bucket.Capacity && bucket.Handles[i] != 0; i++)
        {
            _handles[_count++] = bucket.Handles[i];
        }
    }
}
