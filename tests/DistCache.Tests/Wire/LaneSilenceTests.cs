using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>When a lane is taken for hung; with a connection in <see cref="WireTransportTests"/>.</summary>
internal sealed class LaneSilenceTests
{
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(1);

    private ManualTime _time = null!;
    private LaneSilence _silence = null!;
    private long _sentBytes;
    private int _givenUp;

    [SetUp]
    public void Begin()
    {
        (_sentBytes, _givenUp) = (0, 0);
        _time = new ManualTime();
        _silence = new LaneSilence(_time, WireLimits.LongestSilence, () => _sentBytes, () => _givenUp++);
        _silence.Heard(_time.GetTimestamp());
        _time.Advance(Moment);
    }

    [TearDown]
    public void End() => _silence.Dispose();

    [Test]
    public void Lane_SilentBetweenTwoTimeouts_IsGivenUpAfterALastLook()
    {
        RunOutTwice(WireLimits.LongestSilence);

        _time.Advance(WireLimits.LastLook - Moment);
        Assert.That(_givenUp, Is.Zero);
        _time.Advance(Moment);
        Assert.That(_givenUp, Is.EqualTo(1));
    }

    [Test]
    public void Lane_SilentForLess_IsKept()
    {
        RunOutTwice(WireLimits.LongestSilence - Moment);

        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.That(_givenUp, Is.Zero);
    }

    [Test]
    public void Lane_HeardBeforeTheLastLook_IsKept()
    {
        RunOutTwice(WireLimits.LongestSilence);
        _silence.Heard(_time.GetTimestamp());

        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.That(_givenUp, Is.Zero);
    }

    [Test]
    public void Lane_IsDoubtful_FromAWhileAfterATimeoutUntilItIsHeard()
    {
        Assert.That(_silence.IsDoubtful, Is.False);
        _silence.RanOutOfTime();
        _time.Advance(WireLimits.LastLook - Moment);
        Assert.That(_silence.IsDoubtful, Is.False, "what was said may wait to be read");
        _time.Advance(Moment);
        Assert.That(_silence.IsDoubtful, Is.True);

        _silence.Heard(_time.GetTimestamp());

        Assert.That(_silence.IsDoubtful, Is.False);
    }

    /// <summary>An idle lane on which a request ran out of time hours ago is no more doubtful than others: it would not stand any more.</summary>
    [Test]
    public void Lane_ThatOutlivedThePing_IsNotDoubtful()
    {
        _silence.RanOutOfTime();
        _time.Advance(WireLimits.KeepAliveDelay + WireLimits.KeepAliveTimeout);
        Assert.That(_silence.IsDoubtful, Is.True);

        _time.Advance(Moment);

        Assert.That(_silence.IsDoubtful, Is.False);
    }

    /// <summary>A large value goes out, and there is nothing to say to it before its end.</summary>
    [TestCase(WireLimits.ServerWindowBytes, 1)]
    [TestCase(WireLimits.ServerWindowBytes + 1, 0)]
    public void Lane_ThatTakesMoreThanItsWindow_IsKept(int bytes, int expected)
    {
        _silence.RanOutOfTime();
        _time.Advance(WireLimits.LongestSilence);
        _sentBytes += bytes;
        _silence.RanOutOfTime();

        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.That(_givenUp, Is.EqualTo(expected));
    }

    /// <summary>
    /// 1 The pool has no thread for longer than the longest silence; 2 then it has some: both timeouts are handled, and what the peer said waits behind them;
    /// 3 it is read before the last look.
    /// </summary>
    [Test]
    public void PoolWithoutAThread_IsNotTheLanesSilence()
    {
        _silence.RanOutOfTime();
        _time.Jump(2 * WireLimits.LongestSilence);
        _silence.RanOutOfTime();
        _silence.Heard(_time.GetTimestamp());

        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.That(_givenUp, Is.Zero);
    }

    /// <summary>The last look itself comes late: it proves nothing, and is taken again until it is in time.</summary>
    [TestCase(2, 2)]
    [TestCase(10, 2)]
    [TestCase(1, 1)]
    public void LastLook_LateByAsMuchAsItsInterval_IsTakenAgain(int lateInIntervals, int expectedLooks)
    {
        RunOutTwice(WireLimits.LongestSilence);
        _time.Jump(lateInIntervals * WireLimits.LastLook);
        var looks = 0;
        while (_givenUp == 0)
        {
            _time.Advance(looks == 0 ? TimeSpan.Zero : WireLimits.LastLook);
            looks++;
        }

        Assert.That(looks, Is.EqualTo(expectedLooks));
    }

    [Test]
    public void LastLook_LateAndThenHeard_KeepsTheLane()
    {
        RunOutTwice(WireLimits.LongestSilence);
        _time.Jump(10 * WireLimits.LastLook);
        _time.Advance(TimeSpan.Zero);
        _silence.Heard(_time.GetTimestamp());

        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.That(_givenUp, Is.Zero);
    }

    [Test]
    public void Silence_OfALaneThatIsOver_SaysNothing()
    {
        RunOutTwice(WireLimits.LongestSilence);
        _silence.Dispose();
        _silence.RanOutOfTime();

        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.That(_givenUp, Is.Zero);
        Assert.That(_time.ActiveTimers, Is.Zero);
    }

    private void RunOutTwice(TimeSpan apart)
    {
        _silence.RanOutOfTime();
        _time.Advance(apart);
        _silence.RanOutOfTime();
    }
}
