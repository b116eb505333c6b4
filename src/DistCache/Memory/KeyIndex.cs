using System.Buffers.Binary;
using System.Numerics;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// A shard's table from keys to handles: linear hashing (Litwin, 1980) over buckets of one cache line, which live in pages of the pool.
/// It grows, and shrinks, by one bucket at a time, so no caller ever waits for a table to be copied. Shards start with different
/// numbers of base buckets, so they do not all double at the same load and the memory per entry stays even. Its shard's lock guards it.
/// </summary>
/// <remarks>
/// A key belongs to base bucket b (of n) and, where that was split, to piece k: the lowest bits of its 32 split bits. Bucket number =
/// k × n + b. Pieces of level + 1 bits exist for the buckets below <see cref="_nextSplit"/>, of level bits for the others. In the
/// order of (b, split bits reversed) every bucket is one interval, whatever was split or joined: that is the order of visits.
/// </remarks>
internal sealed class KeyIndex(PagePool pool, int shard, KeyHash hash, int baseBuckets)
{
    /// <summary>Entries a bucket from which on it is split, and below which it is joined again.</summary>
    private const int SplitLoad = 8;
    private const int JoinLoad = 2;

    private readonly PageMemory _memory = pool.Memory;
    private readonly int _pageShift = BitOperations.Log2((uint)(pool.Memory.Geometry.PageBytes / Bucket.Bytes));
    private readonly List<int> _pages = [];
    private readonly List<int> _overflowPages = [];
    private int _level;
    private int _nextSplit;
    private int _freeOverflow;
    private int _usedOverflow;

    public int Count { get; private set; }

    public int BaseBuckets => baseBuckets;

    /// <summary>Pages that it takes.</summary>
    public int PageCount => _pages.Count + _overflowPages.Count;

    private int BucketsPerPage => 1 << _pageShift;

    private int BucketCount => (baseBuckets << _level) + _nextSplit;

    /// <summary>The entry of that key; 0 if there is none.</summary>
    public uint Find(ulong keyHash, ReadOnlySpan<byte> key)
    {
        if (Count == 0)
        {
            return 0;
        }

        var tag = HashBits.Tag(keyHash);
        ref var bucket = ref BucketOf(keyHash);
        while (true)
        {
            var matches = bucket.Match(tag);
            while (matches != 0)
            {
                var handle = bucket.Handles[Bucket.Next(ref matches)];
                if (handle == 0)
                {
                    continue;
                }

                _memory.PrefetchEntry(handle);
                if (KeyOf(handle).SequenceEqual(key))
                {
                    return handle;
                }
            }

            if (bucket.Overflow == 0)
            {
                return 0;
            }

            bucket = ref OverflowBucket(bucket.Overflow);
        }
    }

    public ReadOnlySpan<byte> KeyOf(uint handle)
    {
        ref var header = ref _memory.Header(handle);
        return _memory.Chunk(handle).Slice(header.KeyOffset, header.KeyLength);
    }

    public ulong HashOf(uint handle) => hash.Compute(KeyOf(handle));

    /// <summary>Adds an entry whose key is not there; false, and unchanged, if that takes a page and the pool has none.</summary>
    public bool TryInsert(ulong keyHash, Slot slot, uint handle)
    {
        if (_pages.Count == 0 && !TryAddPage(_pages))
        {
            return false;
        }

        ref var bucket = ref BucketOf(keyHash);
        while (bucket.Handles[Bucket.Capacity - 1] != 0)
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

            bucket = ref OverflowBucket(bucket.Overflow);
        }

        bucket.Put(bucket.Count, handle, HashBits.Tag(keyHash), SlotTag(slot));
        Count++;
        return true;
    }

    /// <summary>Makes sure that the next <see cref="TryInsert"/> of that hash takes no page; false if the pool has none.</summary>
    public bool TryReserve(ulong keyHash)
    {
        if (_pages.Count == 0)
        {
            return TryAddPage(_pages);
        }

        return _freeOverflow != 0 || HasPlace(ref BucketOf(keyHash)) || TryAddOverflowPage();
    }

    /// <summary>Splits one bucket if the load asks for it; false if that takes a page and the pool has none.</summary>
    public bool TryGrow()
    {
        if (Count <= (long)SplitLoad * BucketCount)
        {
            return true;
        }

        if (BucketCount == _pages.Count * BucketsPerPage && !TryAddPage(_pages))
        {
            return false;
        }

        Split();
        GiveUnusedOverflowPages();
        return true;
    }

    public void Replace(ulong keyHash, uint handle, uint target)
    {
        ref var bucket = ref FindPlace(keyHash, handle, out var place);
        bucket.Handles[place] = target;
    }

    public void Remove(ulong keyHash, uint handle)
    {
        ref var hole = ref FindPlace(keyHash, handle, out var place);
        ref var last = ref hole;
        while (last.Overflow != 0)
        {
            last = ref OverflowBucket(last.Overflow);
        }

        // The chain's last entry fills the hole; where that empties an overflow bucket, the bucket goes.
        var lastPlace = last.Count - 1;
        hole.Put(place, last.Handles[lastPlace], last.HashTags[lastPlace], last.SlotTags[lastPlace]);
        last.Put(lastPlace, 0, 0, 0);
        if (lastPlace == 0)
        {
            CutEmptyOverflow(ref BucketOf(keyHash));
        }

        Count--;
        Shrink();
    }

    /// <summary>The interval of split bits, reversed, that the bucket of (<paramref name="baseBucket"/>, <paramref name="position"/>) holds.</summary>
    public int BucketAt(int baseBucket, uint position, out ulong end)
    {
        var bits = Reverse(position);
        var bucket = BucketNumber(baseBucket, bits);
        var level = IsSplit(baseBucket, bits) ? _level + 1 : _level;
        var width = 1UL << (32 - level);
        end = (position & ~(width - 1)) + width;
        return bucket;
    }

    public static uint PositionOf(ulong keyHash) => Reverse(HashBits.SplitBits(keyHash));

    /// <summary>Reads a chain, one bucket at a time.</summary>
    public ChainReader Read(int bucketNumber) => new(this, bucketNumber);

    /// <summary>Checks every bucket against the entries, for tests; calls <paramref name="seen"/> for each.</summary>
    public void Verify(Action<uint> seen)
    {
        var handles = new uint[Bucket.Capacity];
        for (var number = 0; Count > 0 && number < BucketCount; number++)
        {
            var reader = Read(number);
            while (reader.Next(SlotSet.All(), handles, out var count))
            {
                for (var i = 0; i < count; i++)
                {
                    VerifyPlace(number, handles[i]);
                    seen(handles[i]);
                }
            }
        }
    }

    private void VerifyPlace(int number, uint handle)
    {
        var keyHash = HashOf(handle);
        ref var bucket = ref FindPlace(keyHash, handle, out var place);
        var slot = Slot.Of(KeyOf(handle));
        if (BucketNumber(HashBits.BaseBucket(keyHash, baseBuckets), HashBits.SplitBits(keyHash)) != number
            || bucket.HashTags[place] != HashBits.Tag(keyHash)
            || bucket.SlotTags[place] != SlotTag(slot)
            || _memory.Header(handle).Slot != slot)
        {
            throw new InvalidOperationException($"An entry stands in bucket {number} of shard {shard} and belongs elsewhere.");
        }
    }

    private static byte SlotTag(Slot slot) => (byte)(slot.Number >> 6);

    private static uint Reverse(uint bits)
    {
        bits = (bits >> 1 & 0x55555555) | (bits & 0x55555555) << 1;
        bits = (bits >> 2 & 0x33333333) | (bits & 0x33333333) << 2;
        bits = (bits >> 4 & 0x0F0F0F0F) | (bits & 0x0F0F0F0F) << 4;
        return BinaryPrimitives.ReverseEndianness(bits);
    }

    private ref Bucket BucketOf(ulong keyHash) =>
        ref PrimaryBucket(BucketNumber(HashBits.BaseBucket(keyHash, baseBuckets), HashBits.SplitBits(keyHash)));

    private int BucketNumber(int baseBucket, uint bits)
    {
        var level = IsSplit(baseBucket, bits) ? _level + 1 : _level;
        return ((int)(bits & ((1u << level) - 1)) * baseBuckets) + baseBucket;
    }

    private bool IsSplit(int baseBucket, uint bits) => ((int)(bits & ((1u << _level) - 1)) * baseBuckets) + baseBucket < _nextSplit;

    private ref Bucket PrimaryBucket(int number) => ref _memory.Bucket(_pages[number >> _pageShift], number & (BucketsPerPage - 1));

    private ref Bucket OverflowBucket(int number) =>
        ref _memory.Bucket(_overflowPages[(number - 1) >> _pageShift], (number - 1) & (BucketsPerPage - 1));

    private ref Bucket FindPlace(ulong keyHash, uint handle, out int place)
    {
        ref var bucket = ref BucketOf(keyHash);
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

            bucket = ref OverflowBucket(bucket.Overflow);
        }
    }

    private void CutEmptyOverflow(ref Bucket bucket)
    {
        while (bucket.Overflow != 0)
        {
            ref var next = ref OverflowBucket(bucket.Overflow);
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

    /// <summary>Two chains never need more overflow buckets than the one they were made of had.</summary>
    private void Split()
    {
        var source = _nextSplit;
        Span<uint> handles = stackalloc uint[64];
        var taken = new HandleBuffer(handles);
        Empty(source, ref taken);
        PrimaryBucket(source + (baseBuckets << _level)) = default;
        if (++_nextSplit == baseBuckets << _level)
        {
            _level++;
            _nextSplit = 0;
        }

        Refill(taken.Written);
    }

    /// <summary>The opposite of <see cref="Split"/>, where both pieces fit into one bucket.</summary>
    private void Shrink()
    {
        if (Count == 0)
        {
            Reset();
            return;
        }

        if (Count >= (long)JoinLoad * BucketCount || BucketCount == baseBuckets)
        {
            return;
        }

        var (level, target) = _nextSplit == 0 ? (_level - 1, (baseBuckets << (_level - 1)) - 1) : (_level, _nextSplit - 1);
        var source = target + (baseBuckets << level);
        if (PrimaryBucket(source).Count + PrimaryBucket(target).Count > Bucket.Capacity
            || PrimaryBucket(source).Overflow != 0
            || PrimaryBucket(target).Overflow != 0)
        {
            return;
        }

        Span<uint> handles = stackalloc uint[64];
        var taken = new HandleBuffer(handles);
        Empty(source, ref taken);
        (_level, _nextSplit) = (level, target);
        Refill(taken.Written);
        if (BucketCount <= (_pages.Count - 1) * BucketsPerPage)
        {
            pool.Give(_pages[^1]);
            _pages.RemoveAt(_pages.Count - 1);
        }
    }

    private void Empty(int number, ref HandleBuffer taken)
    {
        ref var bucket = ref PrimaryBucket(number);
        taken.Add(ref bucket);
        var overflow = bucket.Overflow;
        bucket = default;
        while (overflow != 0)
        {
            ref var next = ref OverflowBucket(overflow);
            taken.Add(ref next);
            var following = next.Overflow;
            GiveOverflow(overflow);
            overflow = following;
        }
    }

    private void Refill(ReadOnlySpan<uint> handles)
    {
        Count -= handles.Length;
        foreach (var handle in handles)
        {
            _memory.Prefetch(handle);
        }

        foreach (var handle in handles)
        {
            if (!TryInsert(HashOf(handle), _memory.Header(handle).Slot, handle))
            {
                throw new InvalidOperationException("A bucket's entries do not fit into its two halves.");
            }
        }
    }

    private bool HasPlace(ref Bucket bucket)
    {
        while (bucket.Overflow != 0)
        {
            bucket = ref OverflowBucket(bucket.Overflow);
        }

        return bucket.Handles[Bucket.Capacity - 1] == 0;
    }

    private bool TryAddOverflowPage()
    {
        if (!TryAddPage(_overflowPages))
        {
            return false;
        }

        for (var i = BucketsPerPage; i > 0; i--)
        {
            var number = ((_overflowPages.Count - 1) * BucketsPerPage) + i;
            OverflowBucket(number).Overflow = _freeOverflow;
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
        ref var bucket = ref OverflowBucket(taken);
        _freeOverflow = bucket.Overflow;
        bucket = default;
        _usedOverflow++;
        return taken;
    }

    private void GiveOverflow(int number)
    {
        OverflowBucket(number).Overflow = _freeOverflow;
        _freeOverflow = number;
        _usedOverflow--;
    }

    private void GiveUnusedOverflowPages()
    {
        if (_usedOverflow == 0)
        {
            _overflowPages.ForEach(pool.Give);
            _overflowPages.Clear();
            _freeOverflow = 0;
        }
    }

    private bool TryAddPage(List<int> pages)
    {
        if (!pool.TryTake(PageState.Table, shard, out var page))
        {
            return false;
        }

        _memory.Page(page).Clear();
        pages.Add(page);
        return true;
    }

    private void Reset()
    {
        _pages.ForEach(pool.Give);
        _pages.Clear();
        _usedOverflow = 0;
        GiveUnusedOverflowPages();
        (_level, _nextSplit) = (0, 0);
    }

    /// <summary>Shows a chain's buckets one by one; touches the entries of none.</summary>
    public ref struct ChainReader(KeyIndex index, int bucketNumber)
    {
        private int _overflow = -1;

        /// <summary>The next bucket's entries that may be of the slots; false at the end.</summary>
        public bool Next(SlotSet slots, scoped Span<uint> handles, out int count)
        {
            count = 0;
            if (_overflow == 0 || index.Count == 0)
            {
                return false;
            }

            ref var bucket = ref _overflow < 0 ? ref index.PrimaryBucket(bucketNumber) : ref index.OverflowBucket(_overflow);
            for (var i = 0; i < Bucket.Capacity && bucket.Handles[i] != 0; i++)
            {
                if (slots.ContainsAnyOfBlock(bucket.SlotTags[i]))
                {
                    handles[count++] = bucket.Handles[i];
                }
            }

            _overflow = bucket.Overflow;
            return true;
        }
    }

    /// <summary>The entries of a chain; on the stack unless it is very long.</summary>
    private ref struct HandleBuffer(Span<uint> initial)
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
}
