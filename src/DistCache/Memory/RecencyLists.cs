namespace DistCache.Memory;

/// <summary>
/// A shard's lists of entries in the order of their use, linked through their headers: four segments for each size class and for large
/// entries. Its shard's lock guards them.
/// </summary>
internal sealed class RecencyLists(PageMemory memory, SizeClasses classes)
{
    private const int SegmentCount = 4;

    private readonly Ends[] _lists = new Ends[(classes.LargeClass + 1) * SegmentCount];

    public uint Oldest(int sizeClass, Segment segment) => List(sizeClass, segment).Oldest;

    public int Count(int sizeClass, Segment segment) => List(sizeClass, segment).Count;

    public int ValueCount(int sizeClass) =>
        Count(sizeClass, Segment.Window) + Count(sizeClass, Segment.Probation) + Count(sizeClass, Segment.Protected);

    public int SizeClassOf(uint handle) => memory.Info(memory.PageOf(handle)).SizeClass;

    public Segment SegmentOf(uint handle) => memory.Header(handle).Segment;

    public void AddNewest(uint handle, int sizeClass, Segment segment)
    {
        ref var list = ref List(sizeClass, segment);
        ref var header = ref memory.Header(handle);
        header.Segment = segment;
        header.Newer = 0;
        header.Older = list.Newest;
        if (list.Newest != 0)
        {
            memory.Header(list.Newest).Newer = handle;
        }
        else
        {
            list.Oldest = handle;
        }

        list.Newest = handle;
        list.Count++;
    }

    public void Remove(uint handle, int sizeClass)
    {
        ref var header = ref memory.Header(handle);
        ref var list = ref List(sizeClass, header.Segment);
        Connect(ref list, header.Newer, header.Older);
        list.Count--;
    }

    public void MoveToNewest(uint handle, int sizeClass, Segment segment)
    {
        ref var list = ref List(sizeClass, segment);
        if (list.Newest == handle)
        {
            return;
        }

        ref var header = ref memory.Header(handle);
        if (header.Segment != segment)
        {
            Remove(handle, sizeClass);
            AddNewest(handle, sizeClass, segment);
            return;
        }

        // What nearly every use comes to: the list stays the same, and somebody is newer.
        Connect(ref list, header.Newer, header.Older);
        memory.Header(list.Newest).Newer = handle;
        (header.Newer, header.Older) = (0, list.Newest);
        list.Newest = handle;
    }

    /// <summary>The entry's header was copied to <paramref name="target"/>: its neighbours learn that.</summary>
    public void Relocate(uint target, int sizeClass)
    {
        ref var header = ref memory.Header(target);
        ref var list = ref List(sizeClass, header.Segment);
        if (header.Newer != 0)
        {
            memory.Header(header.Newer).Older = target;
        }
        else
        {
            list.Newest = target;
        }

        if (header.Older != 0)
        {
            memory.Header(header.Older).Newer = target;
        }
        else
        {
            list.Oldest = target;
        }
    }

    /// <summary>Walks every list both ways, for tests; calls <paramref name="seen"/> for each entry.</summary>
    public void Verify(Action<uint, int, Segment> seen)
    {
        for (var i = 0; i < _lists.Length; i++)
        {
            var newer = 0u;
            var count = 0;
            for (var handle = _lists[i].Newest; handle != 0; newer = handle, handle = memory.Header(handle).Older)
            {
                if (memory.Header(handle).Newer != newer || ++count > _lists[i].Count)
                {
                    throw new InvalidOperationException($"List {i} is torn at entry {count} of {_lists[i].Count}.");
                }

                seen(handle, i / SegmentCount, (Segment)(i % SegmentCount));
            }

            if (newer != _lists[i].Oldest || count != _lists[i].Count)
            {
                throw new InvalidOperationException($"List {i} has {count} entries, {_lists[i].Count} were counted, or another end.");
            }
        }
    }

    private ref Ends List(int sizeClass, Segment segment) => ref _lists[(sizeClass * SegmentCount) + (int)segment];

    private void Connect(ref Ends list, uint newer, uint older)
    {
        if (newer != 0)
        {
            memory.Header(newer).Older = older;
        }
        else
        {
            list.Newest = older;
        }

        if (older != 0)
        {
            memory.Header(older).Newer = newer;
        }
        else
        {
            list.Oldest = newer;
        }
    }

    private struct Ends
    {
        public uint Newest;
        public uint Oldest;
        public int Count;
    }
}
