using DistCache.Replication;
using DistCache.Tests.Membership;
using DistCache.Tests.Wire;

namespace DistCache.Tests.Replication;

/// <summary>With the default timeout of a second: beats may be late by one, signs by a quarter of it.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class PulseTests : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan Never = System.Threading.Timeout.InfiniteTimeSpan;

    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(50);

    private readonly InMemoryCluster _cluster = new("a", "b");
    private readonly LineLogger _logger = new();
    private int _doubts;

    public void Dispose() => _cluster.Dispose();

    [Test]
    public void Beats_ThatAreLateWhileSignsCome_AreAStandstillAfterTheTimeout()
    {
        var pulse = Start(new StuckTimers(_cluster.Time), _cluster.Time);
        Pass(pulse, Timeout);
        Assert.That(_doubts, Is.Zero);

        Pass(pulse, Step);
        Assert.That(_doubts, Is.EqualTo(1));
        Pass(pulse, Timeout);
        Assert.That(_doubts, Is.EqualTo(1), "What is noted counts from then on.");
        Pass(pulse, Step);
        Assert.That(_doubts, Is.EqualTo(2));
    }

    [Test]
    public void Signs_ThatAreLate_AreAStandstillAfterAQuarterOfTheTimeout()
    {
        var stuck = new StuckTimers(_cluster.Time);
        var pulse = Start(stuck, stuck);
        _cluster.Time.Advance(Timeout / 4);
        pulse.NoticeStandstill();
        Assert.That(_doubts, Is.Zero, "An answer is a sign.");

        _cluster.Time.Advance((Timeout / 4) + TimeSpan.FromMilliseconds(1));
        pulse.NoticeStandstill();
        Assert.That(_doubts, Is.EqualTo(1));
    }

    [Test]
    public void Timers_ThatComeInTime_AreNoStandstill()
    {
        Start(_cluster.Time, _cluster.Time);
        _cluster.Time.Advance(100 * Timeout);
        Assert.That(_doubts, Is.Zero);
    }

    /// <summary>Each doubt compares all slots again.</summary>
    [Test]
    public void Standstill_ThatManyThreadsNotice_IsDoubtedOnce()
    {
        var stuck = new StuckTimers(_cluster.Time);
        var pulse = Start(stuck, stuck);
        for (var round = 1; round <= 50; round++)
        {
            _cluster.Time.Advance(Timeout);
            using var together = new Barrier(4);
            var threads = Enumerable.Range(0, 4).Select(_ => new Thread(() =>
            {
                together.SignalAndWait();
                pulse.NoticeStandstill();
            })).ToList();
            threads.ForEach(static thread => thread.Start());
            threads.ForEach(static thread => thread.Join());
            Assert.That(_doubts, Is.EqualTo(round));
        }
    }

    /// <summary>On a timer's thread an exception would end the process; the next one comes as if nothing had been.</summary>
    [Test]
    public void Timers_ThatMeetAnException_GoOnAndSaySoOnce([Values] bool ofBeats)
    {
        using var counted = new CountedMetrics();
        var stuck = new StuckTimers(_cluster.Time);
        Start(stuck, stuck);
        _cluster.Nodes[0].Replicator.Ownership.ImportBegins += static _ => throw new InvalidOperationException("a defect");
        for (var standstill = 1; standstill <= 3; standstill++)
        {
            // Step by step: the node's own pulse shall not notice.
            for (var passed = TimeSpan.Zero; passed <= Timeout; passed += Step)
            {
                _cluster.Time.Advance(Step);
            }

            Assert.That(() => stuck.Timers[ofBeats ? 0 : 1](), Throws.Nothing);
            Assert.That(_doubts, Is.EqualTo(standstill));
        }

        Assert.That(counted["distcache.replication.failures/Pulse"], Is.EqualTo(3));
        Assert.That(_logger.Lines.Count(static line => line.StartsWith("Pulse", StringComparison.Ordinal)), Is.EqualTo(1));
    }

    /// <summary>An application may go on asking a node that has stopped.</summary>
    [Test]
    public void Pulse_ThatHasEnded_FindsNothingLate()
    {
        var stuck = new StuckTimers(_cluster.Time);
        var pulse = Start(stuck, stuck);
        pulse.Stop();
        _cluster.Time.Advance(10 * Timeout);
        pulse.NoticeStandstill();
        Assert.That(_doubts, Is.Zero);
    }

    /// <summary>The doubt is there for all to see: if nobody fetched what it wants, all would be asked for everything for ever.</summary>
    [Test]
    public void Doubt_WhoseLogFails_IsSeenToAllTheSame()
    {
        var view = _cluster.Nodes[0].Replicator.Ownership.Current.View;
        var ownership = new Ownership(view, new Absences(_cluster.Time, TimeSpan.FromHours(1)), 1, new FaultyLogger());
        ownership.ImportBegins += _ => _doubts++;
        Assert.That(() => ownership.Doubt(static () => Timeout, static () => { }), Throws.InvalidOperationException);
        Assert.That(_doubts, Is.EqualTo(1));
    }

    private Pulse Start(TimeProvider time, TimeProvider signTime)
    {
        var ownership = _cluster.Nodes[0].Replicator.Ownership;
        var pulse = new Pulse(ownership, new Absences(_cluster.Time, TimeSpan.FromHours(1)), time, signTime, Timeout, _logger);
        pulse.Start();
        ownership.ImportBegins += _ => Interlocked.Increment(ref _doubts);
        return pulse;
    }

    private void Pass(Pulse pulse, TimeSpan length)
    {
        for (var end = _cluster.Time.GetTimestamp() + length.Ticks; _cluster.Time.GetTimestamp() < end;)
        {
            _cluster.Time.Advance(Step);
            pulse.NoticeStandstill();
        }
    }

    /// <summary>The clocks go on, and no timer comes: all threads of the pool are busy.</summary>
    private sealed class StuckTimers(ManualTime time) : TimeProvider
    {
        public override long TimestampFrequency => time.TimestampFrequency;

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow();

        public override long GetTimestamp() => time.GetTimestamp();

        /// <summary>What they came for, in the order in which they were made.</summary>
        public List<Action> Timers { get; } = [];

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Timers.Add(() => callback(state));
            return time.CreateTimer(callback, state, Never, Never);
        }
    }
}
