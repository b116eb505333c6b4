using DistCache.Entries;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.Tests.Entries;

internal sealed class ExpirationTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly long StartMilliseconds = Start.ToUnixTimeMilliseconds();

    [Test]
    public void From_NoOptions_NeverEnds() =>
        Assert.That(Expiration.From(new DistributedCacheEntryOptions(), Start), Is.EqualTo(Expiration.None));

    [TestCase(1, 1)]
    [TestCase(9_999, 1)]
    [TestCase(10_000, 1)]
    [TestCase(10_001, 2)]
    [TestCase(15_000_000, 1_500)]
    public void From_Relative_IsRoundedUpToAMillisecond(long ticks, long milliseconds) =>
        Assert.That(AbsoluteAt(Relative(TimeSpan.FromTicks(ticks)), Start), Is.EqualTo(StartMilliseconds + milliseconds));

    // The clock stands at 0.7 ms: what ends at 1.2 ms or 1.7 ms is not over at 1.0 ms.
    [TestCase(5_000, 2)]
    [TestCase(10_000, 2)]
    [TestCase(3_000, 1)]
    [TestCase(3_001, 2)]
    public void From_ClockBetweenMilliseconds_EndsNotEarly(long ticks, long milliseconds)
    {
        var now = Start.AddTicks(7_000);
        var duration = TimeSpan.FromTicks(ticks);
        Assert.That(AbsoluteAt(Relative(duration), now), Is.EqualTo(StartMilliseconds + milliseconds));
        Assert.That(
            AbsoluteAt(new DistributedCacheEntryOptions { AbsoluteExpiration = now + duration }, now),
            Is.EqualTo(StartMilliseconds + milliseconds));
    }

    [Test]
    public void From_Absolute_IsThatMomentInWhateverOffset()
    {
        var absolute = Start.AddHours(1).ToOffset(TimeSpan.FromHours(-9));
        Assert.That(
            AbsoluteAt(new DistributedCacheEntryOptions { AbsoluteExpiration = absolute }, Start),
            Is.EqualTo(StartMilliseconds + 3_600_000));
    }

    [Test]
    public void From_RelativeAndAbsolute_RelativeWins()
    {
        var options = new DistributedCacheEntryOptions
        {
            AbsoluteExpirationRelativeToNow = TimeSpan.FromHours(2),
            AbsoluteExpiration = Start.AddHours(1),
        };
        Assert.That(AbsoluteAt(options, Start), Is.EqualTo(StartMilliseconds + 7_200_000));
    }

    [TestCase(0)]
    [TestCase(-1)]
    [TestCase(-600_000_000)]
    public void From_AbsoluteNotInTheFuture_ThrowsWhatTheFrameworkDoes(long ticks)
    {
        var absolute = Start.AddTicks(ticks);
        var error = Assert.Throws<ArgumentOutOfRangeException>(
            () => Expiration.From(new DistributedCacheEntryOptions { AbsoluteExpiration = absolute }, Start))!;
        var expected = new ArgumentOutOfRangeException(
            "AbsoluteExpiration", absolute, "The absolute expiration value must be in the future.");
        Assert.That(error.Message, Is.EqualTo(expected.Message));
        Assert.That(error.ParamName, Is.EqualTo("AbsoluteExpiration"));
        Assert.That(error.ActualValue, Is.EqualTo(absolute));
    }

    [Test]
    public void From_OneTickInTheFuture_IsTaken() =>
        Assert.That(
            AbsoluteAt(new DistributedCacheEntryOptions { AbsoluteExpiration = Start.AddTicks(1) }, Start), Is.EqualTo(StartMilliseconds + 1));

    [Test]
    public void From_ThousandDays_IsKeptExactly() =>
        Assert.That(AbsoluteAt(Relative(TimeSpan.FromDays(1_000)), Start), Is.EqualTo(StartMilliseconds + 86_400_000_000));

    [Test]
    public void From_BeyondTheCalendar_SaturatesToNever()
    {
        Assert.That(AbsoluteAt(Relative(TimeSpan.MaxValue), Start), Is.EqualTo(Expiration.Never));
        Assert.That(AbsoluteAt(Relative(DateTimeOffset.MaxValue - Start + TimeSpan.FromTicks(1)), Start), Is.EqualTo(Expiration.Never));
        Assert.That(
            AbsoluteAt(new DistributedCacheEntryOptions { AbsoluteExpiration = DateTimeOffset.MaxValue }, Start), Is.EqualTo(Expiration.Never));
    }

    [Test]
    public void From_LastMillisecondOfTheCalendar_IsKept()
    {
        var last = DateTimeOffset.FromUnixTimeMilliseconds(253_402_300_799_999);
        Assert.That(
            AbsoluteAt(new DistributedCacheEntryOptions { AbsoluteExpiration = last }, Start), Is.EqualTo(253_402_300_799_999));
    }

    [Test]
    public void From_Sliding_IsAWindowRoundedUp()
    {
        var expiration = Expiration.From(new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromTicks(10_001) }, Start);
        Assert.That(expiration, Is.EqualTo(new Expiration(Expiration.Never, 2)));
    }

    [Test]
    public void DueAt_Sliding_IsAWindowAfterTheLastAccess()
    {
        var expiration = new Expiration(Expiration.Never, 1_000);
        Assert.That(expiration.DueAt(5_000), Is.EqualTo(6_000));
        Assert.That(expiration.DueAt(5_999), Is.EqualTo(6_999));
    }

    [Test]
    public void DueAt_SlidingBeyondAbsolute_IsCapped()
    {
        var expiration = new Expiration(6_500, 1_000);
        Assert.That(expiration.DueAt(5_000), Is.EqualTo(6_000));
        Assert.That(expiration.DueAt(5_500), Is.EqualTo(6_500));
        Assert.That(expiration.DueAt(6_400), Is.EqualTo(6_500));
    }

    [Test]
    public void DueAt_NoWindow_IgnoresTheLastAccess() => Assert.That(new Expiration(7_000, 0).DueAt(9_000), Is.EqualTo(7_000));

    [Test]
    public void DueAt_EndlessWindow_Saturates()
    {
        var expiration = Expiration.From(new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.MaxValue }, Start);
        Assert.That(expiration.DueAt(StartMilliseconds), Is.GreaterThan(DateTimeOffset.MaxValue.ToUnixTimeMilliseconds()));
        Assert.That(new Expiration(Expiration.Never, long.MaxValue).DueAt(StartMilliseconds), Is.EqualTo(Expiration.Never));
    }

    [TestCase(Expiration.Never, 0L)]
    [TestCase(Expiration.Never, 2_000L)]
    [TestCase(10_000L, 0L)]
    [TestCase(10_000L, 2_000L)]
    public void ToRemaining_OnAnotherClock_GivesTheSameRest(long absoluteAt, long window)
    {
        const long SenderNow = 4_000;
        const long LastAccess = 3_250;
        const long ReceiverNow = 777_000_000;
        var expiration = new Expiration(absoluteAt, window);

        var remaining = expiration.ToRemaining(LastAccess, SenderNow);
        var received = remaining.ToExpiration(ReceiverNow);
        var rest = expiration.DueAt(LastAccess) == Expiration.Never ? Expiration.Never : expiration.DueAt(LastAccess) - SenderNow;
        var due = received.DueAt(remaining.ToLastAccess(ReceiverNow));

        Assert.That(due == Expiration.Never ? Expiration.Never : due - ReceiverNow, Is.EqualTo(rest));
        Assert.That(received.ToRemaining(remaining.ToLastAccess(ReceiverNow), ReceiverNow), Is.EqualTo(remaining));
    }

    [Test]
    public void ToRemaining_AlreadyOver_IsOverOnTheOtherClockToo()
    {
        var remaining = new Expiration(3_000, 0).ToRemaining(1_000, 4_000);
        Assert.That(remaining, Is.EqualTo(new RemainingTime(0, 0, 0)));
        Assert.That(remaining.ToExpiration(50_000).AbsoluteAt, Is.EqualTo(50_000));
    }

    [Test]
    public void ToRemaining_ClockWasSetBack_IdleIsZero() =>
        Assert.That(new Expiration(Expiration.Never, 500).ToRemaining(lastAccess: 9_000, now: 4_000).Idle, Is.Zero);

    [Test]
    public void ToExpiration_Unlimited_IsNone() => Assert.That(RemainingTime.Unlimited.ToExpiration(1_234), Is.EqualTo(Expiration.None));

    [Test]
    public void ToExpiration_HugeRest_Saturates() =>
        Assert.That(new RemainingTime(Expiration.Never - 1, 0, 0).ToExpiration(StartMilliseconds).AbsoluteAt, Is.EqualTo(Expiration.Never));

    // A peer that computes wrongly must not make an entry live for ever.
    [TestCase(-1)]
    [TestCase(long.MinValue)]
    public void ToExpiration_NegativeFromAPeer_CountsAsZero(long negative)
    {
        var remaining = new RemainingTime(negative, negative, negative);
        Assert.That(remaining.ToExpiration(8_000), Is.EqualTo(new Expiration(8_000, 0)));
        Assert.That(remaining.ToLastAccess(8_000), Is.EqualTo(8_000));
    }

    [Test]
    public void EntryInfo_ToRemaining_CountsFromItsLastAccess()
    {
        var info = new EntryInfo(default, new Expiration(9_000, 1_000), LastAccess: 4_500, EntryFlags.None);
        Assert.That(info.DueAt, Is.EqualTo(5_500));
        Assert.That(info.ToRemaining(now: 5_000), Is.EqualTo(new RemainingTime(4_000, 1_000, 500)));
    }

    [TestCase(0, false)]
    [TestCase(1, true)]
    [TestCase(2, false)]
    [TestCase(3, true)]
    public void EntryInfo_IsTombstone_IsItsBitAlone(byte flags, bool isTombstone) =>
        Assert.That(new EntryInfo(default, Expiration.None, 0, (EntryFlags)flags).IsTombstone, Is.EqualTo(isTombstone));

    private static DistributedCacheEntryOptions Relative(TimeSpan duration) => new() { AbsoluteExpirationRelativeToNow = duration };

    private static long AbsoluteAt(DistributedCacheEntryOptions options, DateTimeOffset now) => Expiration.From(options, now).AbsoluteAt;
}
