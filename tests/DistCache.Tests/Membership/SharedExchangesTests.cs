using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Tests.Membership;

/// <summary>Who asks for an exchange, and how many there are.</summary>
[CancelAfter(Patience.Milliseconds)]
public sealed class SharedExchangesTests
{
    private static readonly PeerAddress Address = new("a", 1);
    private static readonly PeerAddress Other = new("b", 1);

    private readonly List<PeerAddress> _begun = [];
    private ManualTime _time = null!;
    private TaskCompletionSource _answer = null!;
    private SharedExchanges _exchanges = null!;

    [SetUp]
    public void SetUp()
    {
        _begun.Clear();
        _time = new ManualTime();
        _answer = new TaskCompletionSource();
        _exchanges = new SharedExchanges(_time, address =>
        {
            _begun.Add(address);
            return _answer.Task;
        });
    }

    [Test]
    public async Task Exchange_AskedForWhileOneRuns_WaitsForThatOne()
    {
        var first = Ask(Address);
        var second = Ask(Address);
        var another = Ask(Other);
        Assert.That(_begun, Is.EqualTo(new[] { Address, Other }));
        Assert.That(second.IsCompleted, Is.False);

        _answer.SetResult();
        _time.Advance(TimeSpan.Zero);

        await Task.WhenAll(first, second, another);
        Assert.That(_begun, Has.Count.EqualTo(2));
    }

    /// <summary>While tables differ every refusal asks for one.</summary>
    [Test]
    public void Exchange_AskedForAllTheTime_IsMadeAgainAfterAPause()
    {
        _answer.SetResult();
        for (var i = 0; i < 1_000; i++)
        {
            Assert.That(Ask(Address).IsCompleted);
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.That(_begun, Has.Count.EqualTo((int)(TimeSpan.FromSeconds(1) / SharedExchanges.Pause)));
        Assert.That(Ask(Other).IsCompleted);
        Assert.That(_begun, Has.Member(Other), "another address");
    }

    [Test]
    public void Exchange_ThatFails_EndsForAllAndIsMadeAgain()
    {
        var first = Ask(Address);
        var second = Ask(Address);

        _answer.SetException(new InvalidOperationException("It did not work."));
        _time.Advance(SharedExchanges.Pause);

        Assert.That(() => first, Throws.InvalidOperationException);
        Assert.That(() => second, Throws.Nothing, "it hears that it is over, as after one that nobody answered");
        _answer = new TaskCompletionSource();
        _ = Ask(Address);
        Assert.That(_begun, Has.Count.EqualTo(2));
    }

    [Test]
    public void Exchange_WhoseWaiterGivesUp_GoesOnForTheOthers()
    {
        using var giveUp = new CancellationTokenSource();
        var first = Ask(Address);
        var second = _exchanges.ExchangeAsync(Address, giveUp.Token).AsTask();
        giveUp.Cancel();
        Assert.That(() => second, Throws.InstanceOf<OperationCanceledException>());

        _answer.SetResult();
        _time.Advance(TimeSpan.Zero);

        Assert.That(() => first, Throws.Nothing);
    }

    /// <summary>1. Three ask for the same exchange. 2. It ends. 3. One of them blocks where it goes on. 4. The others must go on all the same.</summary>
    [Test]
    public async Task Exchange_CallerThatBlocksWhereItGoesOn_HoldsUpNoOther(CancellationToken token)
    {
        var waiting = 3;
        var allWentOn = new TaskCompletionSource();
        var callers = Enumerable.Range(0, 3).Select(async _ =>
        {
            await _exchanges.ExchangeAsync(Address, CancellationToken.None);
            if (Interlocked.Decrement(ref waiting) == 0)
            {
                allWentOn.SetResult();
            }

            // Of a thread that waits for a task the pool knows, and gives another one at once.
            Assert.That(allWentOn.Task.Wait(Patience.Milliseconds, token), "another caller waits for this one");
        }).ToArray();
        _time.Run = callback => ThreadPool.QueueUserWorkItem(_ => callback());
        ThreadPool.QueueUserWorkItem(_ => _answer.SetResult());
        while (!Task.WhenAll(callers).IsCompleted)
        {
            token.ThrowIfCancellationRequested();
            _time.Advance(TimeSpan.Zero);
            await Task.Yield();
        }

        await Task.WhenAll(callers);
    }

    private Task Ask(PeerAddress address) => _exchanges.ExchangeAsync(address, CancellationToken.None).AsTask();
}
