using System.Runtime.Loader;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>What lets reads do without the lock: the number that changes, the notes of uses, and the counts that stay exact.</summary>
internal sealed class LockFreeReadTests
{
    [Test]
    public void Look_DuringOrAcrossAChange_DoesNotCount()
    {
        var shardLock = new ShardLock();
        Assert.That(shardLock.TryLook(out var sequence));
        Assert.That(shardLock.IsUnchanged(sequence));
        using (shardLock.Hold())
        {
            Assert.That(shardLock.TryLook(out _), "the order of use is no part of what is looked at");
        }

        Assert.That(shardLock.IsUnchanged(sequence));
        using (shardLock.Change())
        {
            Assert.That(shardLock.TryLook(out _), Is.False);
            Assert.That(shardLock.IsUnchanged(sequence), Is.False);
        }

        Assert.That(shardLock.TryLook(out var next));
        Assert.That(next, Is.Not.EqualTo(sequence));
    }

    [Test]
    public void Closed_NoLookSucceedsAndEveryChangeThrows()
    {
        var shardLock = new ShardLock();
        shardLock.Close();
        Assert.That(shardLock.TryLook(out _), Is.False);
        Assert.That(() => { using var _ = shardLock.Change(); }, Throws.TypeOf<ObjectDisposedException>());
        using (shardLock.Hold())
        {
            Assert.That(shardLock.IsClosedLocked);
        }

        Assert.That(shardLock.TryLook(out _), Is.False, "also after somebody held it");
    }

    [Test]
    public void Notes_OfOneThread_AreTakenInTheirOrderAndTheOldestAreWrittenOver()
    {
        var notes = new UseNotes();
        for (var i = 1u; i <= UseNotes.Capacity; i++)
        {
            Assert.That(notes.NoteHit(i, out _), Is.EqualTo(i == UseNotes.Capacity), "it is time to settle when they are full");
        }

        Assert.That(Take(notes), Is.EqualTo(Enumerable.Range(1, UseNotes.Capacity).Select(i => (uint)i)));
        Assert.That(Take(notes), Is.Empty);
        for (var i = 1u; i <= UseNotes.Capacity + 10; i++)
        {
            notes.NoteHit(i, out _);
        }

        Assert.That(Take(notes), Is.EqualTo(Enumerable.Range(11, UseNotes.Capacity).Select(i => (uint)i)));
    }

    [Test]
    public void Notes_OfMoreThreadsThanHaveNumbersOfTheirOwn_AreAllCounted()
    {
        const int notesEach = 50_000;
        var count = ThreadNumber.Count + ThreadNumber.SharedCount;
        var notes = new UseNotes();
        using var allLive = new Barrier(count);
        var numbers = new int[count];
        var threads = Enumerable.Range(0, count).Select(thread => new Thread(() =>
        {
            numbers[thread] = ThreadNumber.Current;
            allLive.SignalAndWait();
            for (var i = 0; i < notesEach; i++)
            {
                notes.NoteHit(1, out _);
                notes.NoteMiss();
            }
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => Assert.That(thread.Join(Patience.Time)));
        Assert.That(numbers.Where(number => !ThreadNumber.IsShared(number)), Is.Unique);
        Assert.That(numbers.Count(ThreadNumber.IsShared), Is.GreaterThan(ThreadNumber.SharedCount), "some have to share");
        Assert.That(numbers, Is.All.LessThan(UseNotes.Stripes));
        var sum = notes.AddTo(default);
        Assert.That((sum.Hits, sum.Misses), Is.EqualTo(((long)count * notesEach, (long)count * notesEach)));
    }

    /// <summary>Of a second copy of the assembly, whose numbers no thread of other tests has.</summary>
    [Test]
    public void Number_OfAThreadThatEnded_IsGivenToAnother()
    {
        var copy = new AssemblyLoadContext("a copy").LoadFromAssemblyPath(typeof(ThreadNumber).Assembly.Location);
        var current = copy.GetType(typeof(ThreadNumber).FullName!, true)!.GetProperty(nameof(ThreadNumber.Current))!.GetMethod!.CreateDelegate<Func<int>>();
        var own = 0;
        for (var i = 0; i < 8 * ThreadNumber.OwnCount; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            var number = ThreadNumber.OwnCount;
            var thread = new Thread(() => number = current());
            thread.Start();
            Assert.That(thread.Join(Patience.Time));
            own += ThreadNumber.IsShared(number) ? 0 : 1;
        }

        Assert.That(own, Is.GreaterThan(ThreadNumber.OwnCount), "more than there are: they were given again");
    }

    [Test]
    public void Statistics_OfManyReadersAndAWriter_CountEveryLookUpOnce()
    {
        const int threads = 4;
        const int reads = 60_000;
        using var tier = new MemoryTier(8 << 20, Eviction.Lru, new ManualTime(), null, new TierTuning(2));
        for (var i = 0; i < 1_000; i++)
        {
            tier.Put($"key{i}", 1, TierFace.Value(100, i));
        }

        var (hits, misses, wrong) = (0, 0, 0);
        var workers = Enumerable.Range(0, threads).Select(worker => new Thread(() =>
        {
            var destination = new byte[100];
            for (var i = 0; i < reads; i++)
            {
                var number = ((i * 7) + worker) % 2_000;
                if (worker == 0 && i % 16 == 0)
                {
                    tier.Put($"key{number % 1_000}", (ulong)i + 2, TierFace.Value(100, number % 1_000));
                }

                var outcome = tier.Read(TierFace.Key($"key{number}"), destination, true, out _, out _);
                Interlocked.Increment(ref outcome == LookupOutcome.Hit ? ref hits : ref misses);
                if (outcome == LookupOutcome.Hit && !destination.AsSpan().SequenceEqual(TierFace.Value(100, number)))
                {
                    Interlocked.Increment(ref wrong);
                }
            }
        })).ToArray();
        Array.ForEach(workers, worker => worker.Start());
        Array.ForEach(workers, worker => Assert.That(worker.Join(Patience.Time)));
        Assert.That(wrong, Is.Zero);
        Assert.That((tier.Statistics.Hits, tier.Statistics.Misses), Is.EqualTo(((long)hits, (long)misses)));
        Assert.That(hits, Is.EqualTo(threads * reads / 2));
        TierCheck.Verify(tier.Memory!);
    }

    [Test]
    public void Read_OfAnEntryThatMoves_IsNeverTornNorMissed()
    {
        using var tier = new MemoryTier(4 << 20, Eviction.Lru, new ManualTime(), null, new TierTuning(1));
        tier.Put("moves", 10, TierFace.Value(10, 10));
        var isOver = false;
        var wrong = 0;
        var readers = Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            var destination = new byte[4_000];
            while (!Volatile.Read(ref isOver))
            {
                var outcome = tier.Read(TierFace.Key("moves"), destination, true, out var info, out var length);
                if (outcome != LookupOutcome.Hit
                    || (int)(info.Version.Clock % 4_000) != length
                    || !destination.AsSpan(0, length).SequenceEqual(TierFace.Value(length, length)))
                {
                    Interlocked.Increment(ref wrong);
                }
            }
        })).ToArray();
        Array.ForEach(readers, reader => reader.Start());
        // Each length is of another size class than the one before, so the entry moves, and its old chunk is used again.
        for (var round = 1; round <= 30_000; round++)
        {
            var length = (round * 617) % 4_000;
            tier.Put("moves", ((ulong)round * 4_000) + (ulong)length, TierFace.Value(length, length));
            tier.Put($"other{round % 50}", (ulong)round, TierFace.Value(length, 1));
        }

        Volatile.Write(ref isOver, true);
        Array.ForEach(readers, reader => Assert.That(reader.Join(Patience.Time)));
        Assert.That(wrong, Is.Zero);
        TierCheck.Verify(tier.Memory!);
    }

    private static uint[] Take(UseNotes notes)
    {
        var taken = new List<uint>();
        var handles = new uint[UseNotes.Capacity];
        for (var stripe = 0; stripe < UseNotes.Stripes; stripe++)
        {
            taken.AddRange(handles.Take(notes.Take(stripe, handles)));
        }

        return [.. taken];
    }
}
