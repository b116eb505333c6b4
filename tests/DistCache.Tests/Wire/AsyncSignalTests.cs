using System.Diagnostics;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

internal sealed class AsyncSignalTests
{
    /// <summary>The first reached: how many there are in a time depends on the machine.</summary>
    private const int Rounds = 300_000;
    private static readonly TimeSpan LongestRun = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(100);

    // Not beside what is local below: a line of the cache that both write all the time hides what is looked for.
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
    public void Set_WhileTheWaiterTakesWhatWasKept_IsNeverLost()
    {
        var signal = new AsyncSignal(inline: true);
        using var over = new CancellationTokenSource();
        var token = over.Token;
        var started = 0;
        var waiter = new Thread(() =>
        {
            for (var round = 1; !token.IsCancellationRequested; round++)
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
        waiter.IsBackground = true;
        waiter.Start();
        var spin = new Random(1);
        var clock = Stopwatch.StartNew();
        var rounds = 0;
        var isLost = false;
        while (!isLost && rounds < Rounds && clock.Elapsed < LongestRun)
        {
            rounds++;
            Assert.That(SpinUntil(ref started, rounds), "the waiter is not there");
            Thread.SpinWait(spin.Next(4));
            Interlocked.Exchange(ref _announced, rounds);
            signal.Set();
            isLost = !SpinUntil(ref _seen, rounds);
        }

        over.Cancel();
        waiter.Join();
        TestContext.Out.WriteLine($"{rounds} rounds");
        Assert.That(isLost, Is.False, $"the waiter slept for ever in round {rounds}");
    }

    private static bool SpinUntil(ref int value, int wanted)
    {
        var spinner = new SpinWait();
        var began = 0L;
        while (Volatile.Read(ref value) < wanted)
        {
            spinner.SpinOnce();
            if (spinner.NextSpinWillYield)
            {
                began = began == 0 ? Stopwatch.GetTimestamp() : began;
                if (Stopwatch.GetElapsedTime(began) > Patience.Time)
                {
                    return false;
                }
            }
        }

        return true;
    }
}
