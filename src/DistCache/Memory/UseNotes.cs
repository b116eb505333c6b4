using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistCache.Memory;

/// <summary>
/// Uses of late that are not in the order of use yet, and the counts of look-ups. A stripe for each <see cref="ThreadNumber"/>, so that
/// threads do not write to one cache line, and mostly need no interlocked writes; one thread's uses are settled in their order and none is
/// lost. Where many threads use a shard at once, and nobody gets its lock, the oldest notes are written over.
/// </summary>
/// <remarks>Noting needs no lock. Taking needs the shard's; what it gives may be gone from the shard meanwhile.</remarks>
internal sealed class UseNotes
{
    /// <summary>Notes a stripe: settled together, so that the memory their links stand in is fetched for all at once.</summary>
    public const int Capacity = 64;

    private readonly Stripe[] _stripes = new Stripe[ThreadNumber.Count];

    /// <summary>What it takes of the managed heap.</summary>
    public static int Bytes => ThreadNumber.Count * Unsafe.SizeOf<Stripe>();

    /// <summary>Those that any thread may have written to.</summary>
    public static int Stripes => ThreadNumber.UsedCount;

    /// <summary>A value was found, and used if there is a handle; true if it is time to settle that stripe.</summary>
    public bool NoteHit(uint handle, out int number)
    {
        number = ThreadNumber.Current;
        ref var stripe = ref _stripes[number];
        long noted;
        if (ThreadNumber.IsShared(number))
        {
            noted = Interlocked.Increment(ref stripe.Noted);
            stripe.Handles[(int)(noted - 1) & (Capacity - 1)] = handle;
        }
        else
        {
            noted = stripe.Noted + 1;
            stripe.Handles[(int)(noted - 1) & (Capacity - 1)] = handle;
            Volatile.Write(ref stripe.Noted, noted);
        }

        return noted - Volatile.Read(ref stripe.Settled) >= Capacity;
    }

    public void NoteMiss()
    {
        var number = ThreadNumber.Current;
        ref var misses = ref _stripes[number].Misses;
        if (ThreadNumber.IsShared(number))
        {
            Interlocked.Increment(ref misses);
        }
        else
        {
            Volatile.Write(ref misses, misses + 1);
        }
    }

    /// <summary>Takes a stripe's notes, the oldest first; how many.</summary>
    public int Take(int number, Span<uint> handles)
    {
        ref var stripe = ref _stripes[number];
        var noted = Volatile.Read(ref stripe.Noted);
        var first = Math.Max(stripe.Settled, noted - Capacity);
        var count = (int)(noted - first);
        for (var i = 0; i < count; i++)
        {
            ref var handle = ref stripe.Handles[(int)(first + i) & (Capacity - 1)];
            handles[i] = handle;
            if (ThreadNumber.IsShared(number))
            {
                // Cleared, so that it is not taken again where its successor is counted but not written yet.
                handle = 0;
            }
        }

        Volatile.Write(ref stripe.Settled, noted);
        return count;
    }

    public bool IsEmpty(int number) => Volatile.Read(ref _stripes[number].Noted) == _stripes[number].Settled;

    public MemoryStatistics AddTo(in MemoryStatistics sum)
    {
        var (hits, misses) = (sum.Hits, sum.Misses);
        foreach (ref var stripe in _stripes.AsSpan())
        {
            hits += Volatile.Read(ref stripe.Noted);
            misses += Volatile.Read(ref stripe.Misses);
        }

        return sum with { Hits = hits, Misses = misses };
    }

    /// <summary>Longer than it need be by a cache line, so that no two share one wherever the array begins.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 384)]
    private struct Stripe
    {
        public long Noted;
        public long Settled;
        public long Misses;
        public NoteHandles Handles;
    }

    [InlineArray(Capacity)]
    private struct NoteHandles
    {
        private uint _first;
    }
}
