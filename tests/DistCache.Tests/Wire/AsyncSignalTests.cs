using DistCache.Wire;

namespace DistCache.Tests.Wire;

[CancelAfter(30_000)]
internal sealed class AsyncSignalTests
{
    private const int Rounds = 300_000;

    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(100);

    private int _announced;
    private int _seen;

    [Test]
    public void Set_WithNobodyWaiting_IsKeptForTheNextWait_SeveralAsOne()
    {
        var signal = new AsyncSignal(inline: true);
        signal.Set();
        signal.Set();

        Assert.That(signal.WaitAsync().IsCompletedSuccessfully);
        var waiting = signal.WaitAsync().AsTask();
        Assert.That(waiting.IsCompleted, Is.False);
        signal.Set();
        Assert.That(waiting.IsCompletedSuccessfully);
    }

    /// <summary>
    /// Both come at once, over and over: one takes what was kept, and looks whether there is anything; the other announces something, and finds
    /// the signal still kept. Either of them must see the other.
    /// </summary>
    [Test]
    public void Set_WhileTheWaiterTakesWhatWasKept_IsNeverLost(CancellationToken token)
    {
        var signal = new AsyncSignal(inline: true);
        var started = 0;
        var waiter = new Thread(() =>
        {
            for (var round = 1; round <= Rounds && !token.IsCancellationRequested; round++)
            {
                signal.Set();
                Volatile.Write(ref started, round);
                while (Volatile.Read(ref _announced) < round && !token.IsCancellationRequested)
                {
                    var wait = signal.WaitAsync().AsTask();
                    while (!wait.Wait(Glance) && !token.IsCancellationRequested)
                    {
                    }
                }

                Volatile.Write(ref _seen, round);
            }
        });
        waiter.Start();
        var spin = new Random(1);
        for (var round = 1; round <= Rounds && !token.IsCancellationRequested; round++)
        {
            SpinUntil(ref started, round, token);
            Thread.SpinWait(spin.Next(4));
            Interlocked.Exchange(ref _announced, round);
            signal.Set();
            SpinUntil(ref _seen, round, token);
        }

        Assert.That(Volatile.Read(ref _seen), Is.EqualTo(Rounds), "after this round the waiter slept for ever");
        waiter.Join();
    }

    private static void SpinUntil(ref int value, int wanted, CancellationToken token)
    {
        var spinner = new SpinWait();
        while (Volatile.Read(ref value) < wanted && !token.IsCancellationRequested)
        {
            spinner.SpinOnce();
        }
    }
}
