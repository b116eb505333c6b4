using System.Net;
using System.Net.Sockets;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>Several attempts at one connection, on a manual clock: which of them decides, and what becomes of the others.</summary>
public sealed class ConnectRaceTests
{
    private static readonly IPAddress First = IPAddress.Parse("10.0.0.1");
    private static readonly IPAddress Second = IPAddress.Parse("10.0.0.2");

    private readonly List<Attempt> _attempts = [];
    private ManualTime _time = null!;

    [SetUp]
    public void SetUp() => _time = new ManualTime();

    [TearDown]
    public void CloseSockets()
    {
        _attempts.ForEach(attempt => attempt.Socket.Dispose());
        _attempts.Clear();
    }

    /// <summary>A peer that is far away, and one whose system is slow: each attempt takes as long as the first.</summary>
    [TestCase(0, 1)]
    [TestCase(600, 2)]
    [TestCase(2_100, 5)]
    [TestCase(4_400, 9)]
    public async Task Answer_AfterAWhile_IsHeard(int milliseconds, int attempts)
    {
        var race = new ConnectRace(
            async (addresses, token) =>
            {
                var attempt = new Attempt(addresses, token);
                _attempts.Add(attempt);
                await Task.Delay(TimeSpan.FromMilliseconds(milliseconds), _time, token);
                return attempt.Socket;
            },
            _time);
        var connecting = race.RunAsync([First], CancellationToken.None);

        _time.Advance(TimeSpan.FromMilliseconds(milliseconds));

        Assert.That(await connecting.WaitAsync(TestNode.Patience), Is.SameAs(_attempts[0].Socket));
        Assert.That(_attempts, Has.Count.EqualTo(attempts));
        Assert.That(IsClosed(_attempts[0].Socket), Is.False);
    }

    /// <summary>Windows repeats what was refused, and says so after some 2 s.</summary>
    [TestCase(0)]
    [TestCase(2_000)]
    [TestCase(2_100)]
    public void Refusal_AfterAWhile_IsTheAnswer(int milliseconds)
    {
        var race = new ConnectRace(
            async (_, token) =>
            {
                await Task.Delay(TimeSpan.FromMilliseconds(milliseconds), _time, token);
                throw new SocketException((int)SocketError.ConnectionRefused);
            },
            _time);
        var connecting = race.RunAsync([First], CancellationToken.None);

        _time.Advance(TimeSpan.FromMilliseconds(milliseconds));

        Assert.That(() => connecting.WaitAsync(TestNode.Patience), Throws.TypeOf<SocketException>().With.Property(nameof(SocketException.SocketErrorCode)).EqualTo(SocketError.ConnectionRefused));
    }

    [Test]
    public async Task Losers_ThatAreAnsweredToo_AreClosed()
    {
        var connecting = Race().RunAsync([First], CancellationToken.None);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(_attempts, Has.Count.EqualTo(3));

        _attempts[1].Answer.SetResult(_attempts[1].Socket);
        Assert.That(await connecting.WaitAsync(TestNode.Patience), Is.SameAs(_attempts[1].Socket));

        Assert.That(_attempts.Select(attempt => attempt.Token.IsCancellationRequested), Is.EqualTo(new[] { true, false, true }));
        _attempts[0].Answer.SetResult(_attempts[0].Socket);
        _attempts[2].Answer.SetException(new SocketException((int)SocketError.ConnectionRefused));
        Assert.That(() => IsClosed(_attempts[0].Socket), Is.True.After(5).Seconds.PollEvery(5).MilliSeconds);
        Assert.That(IsClosed(_attempts[1].Socket), Is.False);
    }

    /// <summary>The first hears what comes late, the newest what a link that is whole again lets through.</summary>
    [Test]
    public void Attempts_MoreThanFour_TheFirstAndTheNewestGoOn()
    {
        using var stop = new CancellationTokenSource();
        var connecting = Race().RunAsync([First], stop.Token);

        _time.Advance(TimeSpan.FromSeconds(2.9));

        Assert.That(_attempts.Select(attempt => !attempt.Token.IsCancellationRequested), Is.EqualTo(new[] { true, false, false, true, true, true }));
        Assert.That(_attempts.Count(attempt => !attempt.Token.IsCancellationRequested), Is.EqualTo(ConnectRace.MaximumAttempts));
        Assert.That(connecting.IsCompleted, Is.False);
    }

    [Test]
    public void Addresses_OfANameWithSeveral_AreBegunWithInTurn()
    {
        _ = Race().RunAsync([First, Second], CancellationToken.None);

        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(_attempts.Select(attempt => attempt.Addresses), Is.EqualTo(new IPAddress[][] { [First, Second], [Second, First], [First, Second] }));
    }

    [Test]
    public void Race_ThatIsCalledOff_EndsAllAttempts()
    {
        using var stop = new CancellationTokenSource();
        var connecting = Race().RunAsync([First], stop.Token);
        _time.Advance(TimeSpan.FromSeconds(1));

        stop.Cancel();

        Assert.That(() => connecting.WaitAsync(TestNode.Patience), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(_attempts.Select(attempt => attempt.Token.IsCancellationRequested), Is.All.True);
        Assert.That(_time.ActiveTimers, Is.Zero);
    }

    /// <summary>Of attempts that end when the test says so, whether they are wanted or not.</summary>
    private ConnectRace Race() => new(
        (addresses, token) =>
        {
            var attempt = new Attempt(addresses, token);
            _attempts.Add(attempt);
            return attempt.Answer.Task;
        },
        _time);

    private static bool IsClosed(Socket socket) => socket.SafeHandle.IsClosed;

    private sealed record Attempt(IPAddress[] Addresses, CancellationToken Token)
    {
        public Socket Socket { get; } = new(SocketType.Stream, ProtocolType.Tcp);

        public TaskCompletionSource<Socket> Answer { get; } = new();
    }
}
