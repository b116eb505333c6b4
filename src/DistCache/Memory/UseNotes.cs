using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistCache.Memory;

/// <summary>
/// Uses of late that are not in the order of use yet, and the counts of look-ups. Several stripes, so that threads on different processors
/// do not write to one cache line; a thread always writes to the same one, so one thread's uses are settled in their order and none is
/// lost. Where many threads use a shard at once, and nobody gets its lock, the oldest notes are written over.
/// </summary>
/// <remarks>Noting needs no lock. Taking needs the shard's; what it gives may be gone from the shard meanwhile.</remarks>
internal sealed class UseNotes
{
    /// <summary>Notes a stripe: settled together, so that the memory their links stand in is fetched for all at once.</summary>
    public const int Capacity = 32;

    private const int LargestStripeCount = 16;

    private readonly Stripe[] _stripes = new Stripe[StripeCount];

    /// <summary>What it takes of the managed heap.</summary>
    public static int Bytes => StripeCount * Unsafe.SizeOf<Stripe>();

    public int Stripes => _stripes.Length;

    private static int StripeCount { get; } =
        (int)Math.Min(System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount * 2), LargestStripeCount);

    /// <summary>A value was found, and used if there is a handle; true if it is time to settle.</summary>
    public bool NoteHit(uint handle)
    {
        ref var stripe = ref Own();
        var noted = Interlocked.Increment(ref stripe.Noted);
        stripe.Handles[(int)(noted - 1) & (Capacity - 1)] = handle;
        return noted - Volatile.Read(ref stripe.Settled) >= Capacity;
    }

    public void NoteMiss() => Interlocked.Increment(ref Own().Misses);

    /// <summary>Takes a stripe's notes, the oldest first; how many.</summary>
    public int Take(int number, Span<uint> handles)
    {
        ref var stripe = ref _stripes[number];
        var noted = Volatile.Read(ref stripe.Noted);
        var first = Math.Max(stripe.Settled, noted - Capacity);
        var count = (int)(noted - first);
        for (var i = 0; i < count; i++)
        {
            // Cleared, so that it is not taken again where its successor is counted but not written yet.
            ref var handle = ref stripe.Handles[(int)(first + i) & (Capacity - 1)];
            handles[i] = handle;
            handle = 0;
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

    private ref Stripe Own() => ref _stripes[Environment.CurrentManagedThreadId & (_stripes.Length - 1)];

    /// <summary>Longer than it need be by a cache line, so that no two share one wherever the array begins.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 256)]
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
