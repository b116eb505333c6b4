using DistCache.Entries;

namespace DistCache.Tests.Entries;

internal sealed class HybridClockTests
{
    private const ulong CounterLimit = 1 << 16;

    private readonly ManualTime _time = new();

    private ulong Now => (ulong)_time.GetUtcNow().ToUnixTimeMilliseconds() << 16;

    [Test]
    public void Next_FirstInAMillisecond_IsThatMillisecond() => Assert.That(new HybridClock(_time).Next(), Is.EqualTo(Now));

    [Test]
    public void Next_SameMillisecond_CountsUp()
    {
        var clock = new HybridClock(_time);
        Assert.That((ulong[])[clock.Next(), clock.Next(), clock.Next()], Is.EqualTo((ulong[])[Now, Now + 1, Now + 2]));
    }

    [Test]
    public void Next_LaterMillisecond_StartsTheCounterAnew()
    {
        var clock = new HybridClock(_time);
        clock.Next();
        clock.Next();
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(clock.Next(), Is.EqualTo(Now));
    }

    [Test]
    public void Next_ClockSetBack_GoesOnUpwards()
    {
        var clock = new HybridClock(_time);
        var before = clock.Next();
        _time.Advance(TimeSpan.FromHours(-1));
        Assert.That(clock.Next(), Is.EqualTo(before + 1));
    }

    [Test]
    public void Next_CounterOverflows_CarriesIntoTheMilliseconds()
    {
        var clock = new HybridClock(_time);
        var first = clock.Next();
        var last = first;
        for (var i = 1UL; i <= CounterLimit; i++)
        {
            last = clock.Next();
        }

        Assert.That(last, Is.EqualTo(first + CounterLimit));
        Assert.That(last >> 16, Is.EqualTo((first >> 16) + 1));
        Assert.That(last & 0xFFFF, Is.Zero);

        // The wall clock reaches the borrowed millisecond: the version that was given in it is not given again.
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(clock.Next(), Is.EqualTo(last + 1));
    }

    [Test]
    public void Next_ManyThreads_GivesEachAHigherOneAndNoneTwice()
    {
        const int Threads = 4;
        const int Each = 20_000;
        var clock = new HybridClock(_time);
        var given = new ulong[Threads][];
        var threads = Enumerable.Range(0, Threads).Select(index => new Thread(() =>
        {
            given[index] = [.. Enumerable.Range(0, Each).Select(_ => clock.Next())];
        })).ToList();
        threads.ForEach(thread => thread.Start());
        foreach (var thread in threads)
        {
            Assert.That(thread.Join(Patience.Time), Is.True);
        }

        Assert.That(given, Is.All.Ordered);
        Assert.That(given.SelectMany(values => values).Distinct().Count(), Is.EqualTo(Threads * Each));
    }

    [Test]
    public void Current_AfterNext_IsThatAndDoesNotAdvance()
    {
        var clock = new HybridClock(_time);
        Assert.That(clock.Current, Is.EqualTo(Now));
        clock.Next();
        var last = clock.Next();
        Assert.That(clock.Current, Is.EqualTo(last));
        Assert.That(clock.Next(), Is.EqualTo(last + 1));
    }

    [Test]
    public void TryMerge_RemoteAhead_PutsNextAboveIt()
    {
        var clock = new HybridClock(_time);
        var remote = Now + (5_000 << 16) + 7;
        Assert.That(clock.TryMerge(remote), Is.True);
        Assert.That(clock.Current, Is.EqualTo(remote));
        Assert.That(clock.Next(), Is.EqualTo(remote + 1));
    }

    [Test]
    public void TryMerge_RemoteBehind_ChangesNothing()
    {
        var clock = new HybridClock(_time);
        var last = clock.Next();
        Assert.That(clock.TryMerge(last - 1), Is.True);
        Assert.That(clock.TryMerge(0), Is.True);
        Assert.That(clock.Next(), Is.EqualTo(last + 1));
    }

    [Test]
    public void TryMerge_RemoteAtTheBound_IsTaken()
    {
        var clock = new HybridClock(_time);
        var bound = Now + (24UL * 3_600_000 << 16);
        Assert.That(clock.TryMerge(bound), Is.True);
        Assert.That(clock.Next(), Is.EqualTo(bound + 1));
    }

    [Test]
    public void TryMerge_RemoteOnePastTheBound_IsRefusedAndChangesNothing()
    {
        var clock = new HybridClock(_time);
        var past = Now + (24UL * 3_600_000 << 16) + 1;
        Assert.That(clock.IsTooFarAhead(past), Is.True);
        Assert.That(clock.IsTooFarAhead(past - 1), Is.False);
        Assert.That(clock.TryMerge(past), Is.False);
        Assert.That(clock.TryMerge(ulong.MaxValue), Is.False);
        Assert.That(clock.Next(), Is.EqualTo(Now));
    }

    [Test]
    public void TryMerge_ManyThreads_KeepsTheHighest()
    {
        const int Threads = 4;
        const int Each = 10_000;
        var clock = new HybridClock(_time);
        var start = Now;
        var threads = Enumerable.Range(0, Threads).Select(index => new Thread(() =>
        {
            for (var i = 0; i < Each; i++)
            {
                clock.TryMerge(start + (ulong)((i * Threads) + index));
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        foreach (var thread in threads)
        {
            Assert.That(thread.Join(Patience.Time), Is.True);
        }

        Assert.That(clock.Current, Is.EqualTo(start + (Threads * Each) - 1));
    }

    [Test]
    public void Next_ClockBeforeTheEpoch_StartsAtZero()
    {
        var clock = new HybridClock(new ManualTime(DateTimeOffset.MinValue));
        Assert.That((ulong[])[clock.Next(), clock.Next()], Is.EqualTo((ulong[])[1, 2]));
    }

    [Test]
    public void Next_LastDayOfTheCalendar_StillCountsUp()
    {
        var clock = new HybridClock(new ManualTime(DateTimeOffset.MaxValue));
        var first = clock.Next();
        Assert.That(first >> 16, Is.EqualTo(253_402_300_799_999));
        Assert.That(clock.Next(), Is.EqualTo(first + 1));
        Assert.That(clock.IsTooFarAhead(ulong.MaxValue), Is.True);
    }
}
