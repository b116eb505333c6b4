using System.Diagnostics;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;

namespace DistCache.Tests.Hosting;

/// <summary>A cache that is only resolved, in a provider that nobody starts or disposes, costs nothing that stays.</summary>
public sealed class PassiveProviderTests
{
    private const int Providers = 400;

    [TestCase(false)]
    [TestCase(true)]
    public void ManyProviders_NeverStartedNorDisposed_LeaveNothingBehind(bool isUsed)
    {
        Churn(10, isUsed);
        var sockets = Sockets();
        var threads = Threads();

        var caches = Churn(Providers, isUsed);
        for (var i = 0; i < 5; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.Multiple(() =>
        {
            Assert.That(caches.Count(cache => cache.IsAlive), Is.LessThanOrEqualTo(1), "caches that are still reachable");
            Assert.That(Sockets(), Is.LessThanOrEqualTo(sockets), "sockets");
            Assert.That(Threads() - threads, Is.LessThan(Providers / 10), "threads");
        });
    }

    [Test]
    public void Provider_WithNothingButATimeProvider_ResolvesAWorkingCache()
    {
        using var services = new ServiceCollection().AddSingleton<TimeProvider>(new ManualTime()).AddDistCache().Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        cache.Set("key", [1, 2], new DistributedCacheEntryOptions());
        Assert.Multiple(() =>
        {
            Assert.That(cache.Get("key"), Is.EqualTo(new byte[] { 1, 2 }));
            Assert.That(services.GetRequiredService<DistCacheCluster>().View.Members, Has.Length.EqualTo(1));
        });
    }

    [Test]
    public void ResolvingAlone_MakesNoTimer()
    {
        var time = new ManualTime();
        using var services = new ServiceCollection().AddSingleton<TimeProvider>(time).AddDistCache().Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        Assert.Multiple(() =>
        {
            Assert.That(cache.Get("key"), Is.Null);
            Assert.That(time.ActiveTimers, Is.Zero);
        });
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static List<WeakReference> Churn(int count, bool isUsed)
    {
        var caches = new List<WeakReference>();
        for (var i = 0; i < count; i++)
        {
            var services = new ServiceCollection().AddSingleton(TimeProvider.System).AddDistCache().Services.BuildServiceProvider();
            var cache = services.GetRequiredService<IDistributedCache>();
            if (isUsed)
            {
                cache.Set("key", new byte[100], new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromMinutes(1) });
                Assert.That(cache.Get("key"), Has.Length.EqualTo(100));
            }

            caches.Add(new WeakReference(cache));
        }

        return caches;
    }

    /// <summary>Of this process only: other processes come and go. 0 where the system does not tell.</summary>
    private static int Sockets() => Directory.Exists("/proc/self/fd")
        ? Directory.EnumerateFiles("/proc/self/fd").Count(IsSocket)
        : 0;

    private static bool IsSocket(string file)
    {
        try
        {
            return File.ResolveLinkTarget(file, returnFinalTarget: false)?.Name.StartsWith("socket:", StringComparison.Ordinal) == true;
        }
        catch (IOException)
        {
            // Closed since it was listed.
            return false;
        }
    }

    private static int Threads()
    {
        using var process = Process.GetCurrentProcess();
        return process.Threads.Count;
    }

    [Test]
    public void Set_OnALoneNode_WithTwoMinimumMembers_IsRefusedWithBothNumbers()
    {
        using var services = new ServiceCollection().AddDistCache(options => options.Replication.MinimumMembers = 2).Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        Assert.That(
            () => cache.Set("key", [1], new DistributedCacheEntryOptions()),
            Throws.InstanceOf<DistCacheUnavailableException>().With.Message.Contains("1 members are reachable, 2 must be (Replication.MinimumMembers)"));
    }
}
