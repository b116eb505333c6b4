using System.Collections.Concurrent;
using DistCache.Hosting;

namespace DistCache.Tests.Hosting;

/// <summary>On real threads, so each wait is for something that comes.</summary>
public sealed class OwnThreadTimeTests
{

    private static readonly TimeSpan Never = Timeout.InfiniteTimeSpan;

    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(1);

    [Test]
    public void Timer_ComesAgainAndAgain_OnOneThreadThatIsNotThePools()
    {
        using var thrice = new CountdownEvent(3);
        var threads = new ConcurrentQueue<(int Id, bool IsThePools)>();
        using var timer = new OwnThreadTime().CreateTimer(
            state =>
            {
                threads.Enqueue((Environment.CurrentManagedThreadId, Thread.CurrentThread.IsThreadPoolThread));
                if (!thrice.IsSet)
                {
                    ((CountdownEvent)state!).Signal();
                }
            },
            thrice, Soon, Soon);

        Assert.That(thrice.Wait(Patience.Time));
        timer.Dispose();
        var (id, isThePools) = threads.First();
        Assert.That(isThePools, Is.False);
        Assert.That(threads.ToArray(), Has.All.EqualTo((id, false)));
    }

    [Test]
    public void Timer_WithoutPeriod_ComesOnceForEachChange()
    {
        using var came = new SemaphoreSlim(0);
        using var timer = new OwnThreadTime().CreateTimer(_ => came.Release(), null, Never, Never);

        timer.Change(Soon, Never);
        Assert.That(came.Wait(Patience.Time));
        timer.Change(TimeSpan.Zero, Never);
        Assert.That(came.Wait(Patience.Time));
        Assert.That(came.CurrentCount, Is.Zero);
    }

    [Test]
    public void Timer_ThatIsDisposed_EndsItsThread()
    {
        Thread? thread = null;
        using var came = new ManualResetEventSlim();
        var timer = new OwnThreadTime().CreateTimer(
            _ =>
            {
                thread = Thread.CurrentThread;
                came.Set();
            },
            null, Soon, Never);
        Assert.That(came.Wait(Patience.Time));

        timer.Dispose();

        Assert.That(thread!.Join(Patience.Time));
        Assert.That(timer.Change(Soon, Soon), Is.False);
    }

    [Test]
    public void Timer_DisposedByItsOwnCallback_Ends()
    {
        ITimer? timer = null;
        Thread? thread = null;
        using var isKnown = new ManualResetEventSlim();
        using var came = new ManualResetEventSlim();
        timer = new OwnThreadTime().CreateTimer(
            _ =>
            {
                isKnown.Wait(Patience.Time);
                thread = Thread.CurrentThread;
                timer!.Dispose();
                came.Set();
            },
            null, Soon, Soon);
        isKnown.Set();

        Assert.That(came.Wait(Patience.Time));
        Assert.That(thread!.Join(Patience.Time));
    }
}
