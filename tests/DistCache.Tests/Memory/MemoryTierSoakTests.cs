using System.Buffers;
using System.Runtime.InteropServices;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>Many threads on one tier: afterwards every list, index place, page and counter agrees with the others.</summary>
internal sealed class MemoryTierSoakTests
{
    private const int Threads = 4;

    [TestCase(Eviction.Lru, 2L << 20, 1)]
    [TestCase(Eviction.Lru, 24L << 20, 8)]
    [TestCase(Eviction.Lfu, 24L << 20, 4)]
    public void ManyThreads_LeaveEverythingInOrder(Eviction eviction, long budget, int shards)
    {
        var seed = RandomRun.Seed();
        var time = new ManualTime();
        using var tier = new MemoryTier(budget, eviction, time, null, new TierTuning(shards), TimeSpan.FromSeconds(20));
        tier.Put("first", 1, []);
        var torn = 0;
        var workers = Enumerable.Range(0, Threads).Select(worker => new Thread(() =>
        {
            var random = new Random(seed + worker);
            var buffer = new byte[8 << 20];
            for (var i = 0; i < 25_000 * RandomRun.Rounds; i++)
            {
                Interlocked.Add(ref torn, Step(tier, time, random, buffer, budget) ? 0 : 1);
            }
        })).ToArray();
        Run(workers);

        Assert.That(torn, Is.Zero, "a value was torn, or the budget exceeded");
        TierCheck.Verify(tier.Memory!);
        TestContext.Out.WriteLine(tier.Statistics);
        Assert.That(tier.Statistics.EvictedForSize, Is.Positive);
        Assert.That(tier.Statistics.Expired, Is.Positive);
    }

    [Test]
    public void Dispose_UnderLoad_EndsEveryOperationCleanly([Range(0, 5)] int round)
    {
        var seed = RandomRun.Seed();
        var time = new ManualTime();
        var tier = new MemoryTier(16 << 20, round % 2 == 0 ? Eviction.Lru : Eviction.Lfu, time, null, new TierTuning(2));
        tier.Put("first", 1, []);
        var failures = new List<Exception>();
        using var started = new CountdownEvent(Threads);
        var workers = Enumerable.Range(0, Threads).Select(worker => new Thread(() =>
        {
            var random = new Random(seed + worker);
            var buffer = new byte[8 << 20];
            try
            {
                for (var i = 0; i < 10_000_000; i++)
                {
                    if (!Step(tier, time, random, buffer, 16 << 20))
                    {
                        throw new InvalidOperationException("A value was torn, or the budget exceeded.");
                    }

                    if (i == 500)
                    {
                        started.Signal();
                    }
                }
            }
            catch (ObjectDisposedException)
            {
            }
            catch (Exception e)
            {
                lock (failures)
                {
                    failures.Add(e);
                }
            }
        })).ToArray();
        Array.ForEach(workers, worker => worker.Start());
        Assert.That(started.Wait(Patience.Time));
        tier.Dispose();
        foreach (var worker in workers)
        {
            Assert.That(worker.Join(Patience.Time));
        }

        Assert.That(failures, Is.Empty);
        Assert.That(tier.Memory!.Pool.Memory.Handle.IsGivenBack);
    }

    private static void Run(Thread[] workers)
    {
        Array.ForEach(workers, worker => worker.Start());
        foreach (var worker in workers)
        {
            Assert.That(worker.Join(TimeSpan.FromSeconds(60 * RandomRun.Rounds)), "a worker hangs");
        }
    }

    /// <summary>One operation; false if it saw what cannot be.</summary>
    private static bool Step(MemoryTier tier, ManualTime time, Random random, byte[] buffer, long budget)
    {
        var number = random.Next(5_000);
        var key = MemoryMarshal.AsBytes(new[] { number }.AsSpan());
        switch (random.Next(100))
        {
            case < 40:
                var length = random.Next(200) == 0 ? random.Next((int)(budget / 5)) : random.Next(3_000);
                var value = buffer.AsSpan(0, length);
                value.Fill((byte)(number + length));
                var absolute = random.Next(3) == 0 ? time.Milliseconds() + random.Next(5_000) : Expiration.Never;
                var flags = random.Next(20) == 0 ? EntryFlags.Tombstone : EntryFlags.None;
                var version = new EntryVersion((ulong)random.NextInt64(), 1);
                var sequence = new ReadOnlySequence<byte>(buffer, 0, flags == EntryFlags.None ? length : 0);
                tier.Apply(key, new EntryInfo(version, new Expiration(absolute, 0), 0, flags), sequence, out _);
                return tier.Statistics.Bytes <= budget;
            case < 90:
                var outcome = tier.Read(key, buffer, true, out var info, out var read);
                return outcome != LookupOutcome.Hit || !buffer.AsSpan(0, read).ContainsAnyExcept((byte)(number + read));
            case < 95:
                tier.Read(key, buffer, false, out info, out _);
                tier.Forget(key, info.Version);
                return true;
            case < 96 when random.Next(20) == 0:
                tier.Sweep();
                return true;
            case < 97 when random.Next(20) == 0:
                time.Advance(TimeSpan.FromMilliseconds(300));
                return true;
            case < 98 when random.Next(20) == 0:
                var cursor = default(TierCursor);
                var visitor = new Checker();
                tier.Visit(SlotSet.All(), ref cursor, visitor);
                return visitor.IsGood;
            default:
                tier.Confirm(Slot.Of(key), (ulong)random.NextInt64(long.MaxValue));
                return true;
        }
    }

    private sealed class Checker : IEntryVisitor
    {
        public bool IsGood { get; private set; } = true;

        public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
        {
            if (key.Length == sizeof(int))
            {
                var expected = (byte)(MemoryMarshal.Read<int>(key) + value.Length);
                IsGood &= !value.ToArray().AsSpan().ContainsAnyExcept(expected);
            }

            return true;
        }
    }
}
