using DistCache.Wire;
using Microsoft.AspNetCore.Connections.Features;

namespace DistCache.Tests.Wire;

internal sealed class LaneHeartbeatTests
{
    private ManualTime _time = null!;
    private FakeHeartbeat _server = null!;
    private Guest _guest = null!;
    private int _looks;

    [SetUp]
    public void Connect()
    {
        (_looks, _time, _server) = (0, new ManualTime(), new FakeHeartbeat());
        _guest = new Guest(new FakeConnection("192.0.2.1"), new Strangers(), _time);
        IConnectionHeartbeatFeature heartbeat = new LaneHeartbeat(_guest, _server, _time, WireLimits.KeepAliveTimeout);
        heartbeat.OnHeartbeat(_ => _looks++, this);
    }

    [TearDown]
    public void Close() => _guest.Dispose();

    [Test]
    public void Stranger_IsLookedAtWithEachBeat()
    {
        Beat(12);

        Assert.That(_looks, Is.EqualTo(12));
    }

    /// <summary>Each look wakes a reader through the pool, and an idle node has 72 lanes of 24 peers.</summary>
    [Test]
    public void Lane_IsLookedAtEveryFiveSeconds()
    {
        _guest.Welcome();
        Beat(1);
        _looks = 0;

        Beat(60);

        Assert.That(_looks, Is.EqualTo(12));
    }

    private void Beat(int seconds)
    {
        for (var i = 0; i < seconds; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            _server.Beat();
        }
    }
}
