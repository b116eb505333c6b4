using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>Who has to go where too many have not said who they are; with sockets in <see cref="BadInputTests"/>.</summary>
internal sealed class StrangersTests
{
    private const int LanesOfANode = 3;

    private readonly ManualTime _time = new();
    private readonly List<(FakeConnection Connection, Guest Guest)> _arrived = [];
    private Strangers _strangers = null!;

    private IEnumerable<FakeConnection> Standing => _arrived.Select(arrived => arrived.Connection).Where(connection => !connection.IsAborted);

    [SetUp]
    public void Open()
    {
        _arrived.Clear();
        _strangers = new Strangers();
    }

    [Test]
    public void Strangers_AtTheLimit_Stay()
    {
        for (var i = 0; i < WireLimits.Strangers; i++)
        {
            Arrive(AddressOf(i));
        }

        Assert.That(Standing.Count(), Is.EqualTo(WireLimits.Strangers));
        Assert.That(_strangers.Leaving, Is.Zero);
    }

    [Test]
    public void Strangers_OneBeyondTheLimit_SendTheOldestAway()
    {
        for (var i = 0; i <= WireLimits.Strangers; i++)
        {
            Arrive(AddressOf(i));
        }

        Assert.That(_arrived.FindIndex(arrived => arrived.Connection.IsAborted), Is.Zero);
        Assert.That(Standing.Count(), Is.EqualTo(WireLimits.Strangers));
        Assert.That(_strangers.Leaving, Is.EqualTo(1));
        _arrived[0].Guest.Dispose();
        Assert.That(_strangers.Leaving, Is.Zero);
    }

    [Test]
    public void Stranger_WelcomedAfterItsEnd_IsRefused()
    {
        Arrive(AddressOf(0));
        var (_, guest) = _arrived[0];
        guest.Dispose();

        Assert.That(guest.Welcome, Throws.TypeOf<RefusalException>().With.Message.Contains("closed"));
        Assert.That(guest.IsKnown, Is.False);
    }

    [TestCase(WireLimits.Connections, 0, false)]
    [TestCase(WireLimits.Connections + 1, 0, true)]
    [TestCase(WireLimits.Connections + 1, 1, false)]
    [TestCase(2 * WireLimits.Connections, WireLimits.Connections, false, Description = "as many again may be leaving")]
    [TestCase(2 * WireLimits.Connections + 1, WireLimits.Connections + 1, true)]
    [TestCase(2 * WireLimits.Connections + 1, 2 * WireLimits.Connections, true, Description = "whatever is leaving")]
    public void Port_WithManyConnections_IsFullBeyondEitherLimit(int open, int leaving, bool expected) =>
        Assert.That(PeerServer.IsFull(open, leaving), Is.EqualTo(expected));

    /// <summary>The largest cluster, all of whose members start at once.</summary>
    [Test]
    public void Members_ThatAllDialAtOnce_AllStay()
    {
        for (var lane = 0; lane < LanesOfANode; lane++)
        {
            for (var member = 0; member < 256; member++)
            {
                Arrive(AddressOf(member));
            }
        }

        Assert.That(_arrived.Select(arrived => arrived.Connection.IsAborted), Has.None.True);
        _arrived.ForEach(arrived => arrived.Guest.Welcome());
    }

    [TestCase(WireLimits.StrangersOfAddress, 0, TestName = "Address_WithItsShare_IsNotTakenForTheFlood")]
    [TestCase(WireLimits.StrangersOfAddress + 1, 1, TestName = "Address_WithMoreThanItsShare_GivesItsOldest")]
    public void Address_WithMany_GivesItsOldest(int many, int expectedToGo)
    {
        Arrive(AddressOf(0));
        for (var i = 0; i < many; i++)
        {
            Arrive("192.0.2.1");
        }

        for (var i = _arrived.Count; i <= WireLimits.Strangers; i++)
        {
            Arrive(AddressOf(i));
        }

        Assert.That(_arrived.FindIndex(arrived => arrived.Connection.IsAborted), Is.EqualTo(expectedToGo));
        Assert.That(_strangers.Leaving, Is.EqualTo(1));
    }

    [TestCase("192.0.2.1", "192.0.2.1")]
    [TestCase("192.0.2.1", "::ffff:192.0.2.1")]
    [TestCase("2001:db8::1", "2001:db8::ffff:1")]
    public void Flood_FromOneNetwork_HarmsNobodyElse(string one, string other)
    {
        // The slowest there can be: it came first, and has its say after everybody else.
        for (var lane = 0; lane < LanesOfANode; lane++)
        {
            Arrive("192.0.2.2");
            Arrive("2001:db8:1::1");
        }

        for (var i = 0; i < 10_000; i++)
        {
            Arrive(i % 2 == 0 ? one : other);
        }

        Assert.That(Standing.Count(), Is.EqualTo(WireLimits.Strangers));
        foreach (var (_, member) in _arrived.Take(2 * LanesOfANode))
        {
            member.Welcome();
            Assert.That(member.IsKnown, Is.True);
        }
    }

    /// <summary>Two threads: one welcomes the oldest, the other brings the one too many. One of the two wins, and both agree which.</summary>
    [Test]
    public async Task Oldest_WelcomedWhileItHasToGo_IsEitherKnownOrCutOff()
    {
        const int Rounds = 3_000;
        for (var i = 0; i < WireLimits.Strangers; i++)
        {
            Arrive(AddressOf(i));
        }

        var (known, gone) = (0, 0);
        using var together = new Barrier(2);
        var welcomes = Task.Run(() =>
        {
            for (var round = 0; round < Rounds; round++)
            {
                var isWelcome = true;
                var guest = _arrived[round].Guest;
                together.SignalAndWait(TestNode.Patience);
                try
                {
                    guest.Welcome();
                }
                catch (RefusalException)
                {
                    isWelcome = false;
                }

                together.SignalAndWait(TestNode.Patience);
                Assert.That((guest.IsKnown, guest.IsEvicted, _arrived[round].Connection.IsAborted), Is.EqualTo((isWelcome, !isWelcome, !isWelcome)), $"round {round}");
                _ = isWelcome ? known++ : gone++;
            }
        });
        var arrivals = Task.Run(() =>
        {
            for (var round = 0; round < Rounds; round++)
            {
                together.SignalAndWait(TestNode.Patience);
                Arrive(AddressOf(WireLimits.Strangers + round));
                together.SignalAndWait(TestNode.Patience);
            }
        });

        await Task.WhenAll(welcomes, arrivals).WaitAsync(TestNode.Patience);
        TestContext.Out.WriteLine($"{known} were welcomed in time, {gone} had to go");
        Assert.That(_strangers.Leaving, Is.EqualTo(gone));
    }

    private static string AddressOf(int i) => $"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}";

    private void Arrive(string from)
    {
        var connection = new FakeConnection(from);
        _arrived.Add((connection, new Guest(connection, _strangers, _time)));
    }
}
