using System.Runtime.CompilerServices;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>
/// A shard's table from keys to handles: <see cref="LinearHash"/> says in which of its buckets, of one cache line each, a key stands. It
/// grows, and shrinks, by one bucket at a time, so no caller ever waits for a table to be copied. Shards start with different numbers of
/// base buckets, so they do not all double at the same load and the memory per entry stays even. Its shard's lock guards it.
/// </summary>
internal sealed class KeyIndex(PagePool pool, int shard, KeyHash hash, int baseBuckets)
{
    /// <summary>Entries a bucket from which on it is split, and below which it is joined again.</summary>
    private const int SplitLoad = 8;
    private const int JoinLoad = 2;

    /// <summary>Of one chain, while it may be changed and lead in circles.</summary>
    private const int MaximumGlances = 8;

    private readonly PageMemory _memory = pool.Memory;
    private readonly BucketChains _chains = new(pool, shard);
    private LinearHash _layout = new(baseBuckets, 0, 0);

    public int Count { get; private set; }

    public int BaseBuckets => baseBuckets;

    /// <summary>Pages that it takes.</summary>
    public int PageCount => _chains.PageCount;

    /// <summary>The entry of that key; 0 if there is none.</summary>
    public uint Find(ulong keyHash, ReadOnlySpan<byte> key)
    {
        if (Count == 0)
        {
            return 0;
        }

        var tag = HashBits.Tag(keyHash);
        ref var bucket = ref _chains.Primary(_layout.BucketOf(keyHash));
        while (true)
        {
            var matches = bucket.Match(tag);
            while (matches != 0)
            {
                var handle = bucket.Handles[Bucket.Next(ref matches)];
                if (handle != 0 && KeyOf(handle).SequenceEqual(key))
                {
                    return handle;
                }
            }

            if (bucket.Overflow == 0)
            {
                return 0;
            }

            bucket = ref _chains.Overflow(bucket.Overflow);
        }
    }

    /// <summary>
    /// As <see cref="Find"/>, and the entry's shape and bytes, without the lock: false where it could not tell. What it says holds only if
    /// nothing was changed meanwhile.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryGlance(ulong keyHash, ReadOnlySpan<byte> key, out uint handle, out EntryShape shape, out ReadOnlySpan<byte> entry)
    {
        Unsafe.SkipInit(out shape);
        entry = default;
        handle = 0;
        var tag = HashBits.Tag(keyHash);
        ref readonly var bucket = ref _chains.Glance(_layout.BucketOf(keyHash));
        for (var glances = 0; !Unsafe.IsNullRef(in bucket) && glances < MaximumGlances; glances++)
        {
            var matches = bucket.Match(tag);
            while (matches != 0)
            {
                var candidate = bucket.Handles[Bucket.Next(ref matches)];
                if (candidate == 0)
                {
                    continue;
                }

                if (!_memory.TryGlance(candidate, out shape, out entry))
                {
                    return false;
                }

                if (shape.KeyIn(entry).SequenceEqual(key))
                {
                    handle = candidate;
                    return true;
                }
            }

            if (bucket.Overflow == 0)
            {
                return true;
            }

            bucket = ref _chains.GlanceOverflow(bucket.Overflow);
        }

        return false;
    }

    public ReadOnlySpan<byte> KeyOf(uint handle) => _memory.Header(handle).KeyIn(_memory.Chunk(handle));

    public ulong HashOf(uint handle) => hash.Compute(KeyOf(handle));

    /// <summary>Adds an entry whose key is not there; false, and unchanged, if that takes a page and the pool has none.</summary>
    public bool TryInsert(ulong keyHash, Slot slot, uint handle)
    {
        if ((_chains.Capacity == 0 && !_chains.TryAddPage())
            || !_chains.TryAdd(_layout.BucketOf(keyHash), handle, HashBits.Tag(keyHash), SlotTag(slot)))
        {
            return false;
        }

        Count++;
        return true;
    }

    /// <summary>Makes sure that the next <see cref="TryInsert"/> of that hash takes no page; false if the pool has none.</summary>
    public bool TryReserve(ulong keyHash) =>
        _chains.Capacity == 0 ? _chains.TryAddPage() : _chains.TryReserve(_layout.BucketOf(keyHash));

    /// <summary>Splits one bucket if the load asks for it; false if that takes a page and the pool has none.</summary>
    public bool TryGrow()
    {
        if (Count <= (long)SplitLoad * _layout.BucketCount)
        {
            return true;
        }

        if (_layout.BucketCount == _chains.Capacity && !_chains.TryAddPage())
        {
            return false;
        }

        Split();
        _chains.GiveUnusedOverflowPages();
        return true;
    }

    public void Replace(ulong keyHash, uint handle, uint target)
    {
        ref var bucket = ref _chains.Find(_layout.BucketOf(keyHash), handle, out var place);
        bucket.Handles[place] = target;
    }

    public void Remove(ulong keyHash, uint handle)
    {
        _chains.Remove(_layout.BucketOf(keyHash), handle);
        Count--;
        Shrink();
    }

    /// <summary>The bucket that holds (<paramref name="baseBucket"/>, <paramref name="position"/>) in the order of visits, and where its interval ends.</summary>
    public int BucketAt(int baseBucket, uint position, out ulong end) => _layout.BucketAt(baseBucket, position, out end);

    /// <summary>Reads a chain, one bucket at a time.</summary>
    public ChainReader Read(int bucketNumber) => new(this, bucketNumber);

    /// <summary>Checks every bucket against the entries, for tests; calls <paramref name="seen"/> for each.</summary>
    public void Verify(Action<uint> seen)
    {
        var handles = new uint[Bucket.Capacity];
        for (var number = 0; Count > 0 && number < _layout.BucketCount; number++)
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
        ref var bucket = ref _chains.Find(_layout.BucketOf(keyHash), handle, out var place);
        var slot = Slot.Of(KeyOf(handle));
        if (_layout.BucketOf(keyHash) != number
            || bucket.HashTags[place] != HashBits.Tag(keyHash)
            || bucket.SlotTags[place] != SlotTag(slot)
            || _memory.Header(handle).Slot != slot)
        {
            throw new InvalidOperationException($"An entry stands in bucket {number} of shard {shard} and belongs elsewhere.");
        }
    }

    private static byte SlotTag(Slot slot) => (byte)(slot.Number >> 6);

    /// <summary>Two chains never need more overflow buckets than the one they were made of had.</summary>
    private void Split()
    {
        Span<uint> handles = stackalloc uint[64];
        var taken = new HandleBuffer(handles);
        _layout = _layout.Split(out var source, out var target);
        _chains.Empty(source, ref taken);
        _chains.Primary(target) = default;
        Refill(taken.Written);
    }

    /// <summary>The opposite of <see cref="Split"/>, where both pieces fit into one bucket.</summary>
    private void Shrink()
    {
        if (Count == 0)
        {
            _chains.Clear();
            _layout = new LinearHash(baseBuckets, 0, 0);
            return;
        }

        if (Count >= (long)JoinLoad * _layout.BucketCount || _layout.BucketCount == baseBuckets)
        {
            return;
        }

        var joined = _layout.Join(out var source, out var target);
        if (_chains.Primary(source).Count + _chains.Primary(target).Count > Bucket.Capacity
            || _chains.Primary(source).Overflow != 0
            || _chains.Primary(target).Overflow != 0)
        {
            return;
        }

        Span<uint> handles = stackalloc uint[64];
        var taken = new HandleBuffer(handles);
        _chains.Empty(source, ref taken);
        _layout = joined;
        Refill(taken.Written);
        if (_layout.BucketCount <= _chains.Capacity - _chains.BucketsPerPage)
        {
            _chains.GiveLastPage();
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

            ref var bucket = ref _overflow < 0 ? ref index._chains.Primary(bucketNumber) : ref index._chains.Overflow(_overflow);
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
}
