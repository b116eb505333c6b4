using System.Buffers;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;

namespace DistCache.Tests;

/// <summary>When an entry ends, and what puts that off.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class DistributedCacheExpirationTests(bool isAsync) : CacheContract(isAsync)
{
    [Test]
    public async Task AbsoluteExpiration_EndsTheEntryAtThatMoment()
    {
        await Set("key", Value, new DistributedCacheEntryOptions { AbsoluteExpiration = Time.GetUtcNow().AddSeconds(10) });
        Time.Advance(TimeSpan.FromSeconds(10) - TimeSpan.FromMilliseconds(1));
        Assert.That(await Get("key"), Is.EqualTo(Value));
        Time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(await Get("key"), Is.Null);
    }

    [Test]
    public async Task AbsoluteExpirationRelativeToNow_WinsOverAbsoluteExpiration()
    {
        await Set("key", Value, new DistributedCacheEntryOptions
        {
            AbsoluteExpiration = Time.GetUtcNow().AddSeconds(1),
            AbsoluteExpirationRelativeToNow = TimeSpan.FromSeconds(10),
        });
        Time.Advance(TimeSpan.FromSeconds(9));
        Assert.That(await Get("key"), Is.EqualTo(Value));
        Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await Get("key"), Is.Null);
    }

    [TestCase(0)]
    [TestCase(-1)]
    public void AbsoluteExpiration_NotInTheFuture_ThrowsTheExactError(int secondsFromNow)
    {
        var moment = Time.GetUtcNow().AddSeconds(secondsFromNow);
        var options = new DistributedCacheEntryOptions { AbsoluteExpiration = moment };
        var expected = new ArgumentOutOfRangeException("AbsoluteExpiration", moment, "The absolute expiration value must be in the future.");
        Assert.That(async () => await Set("key", Value, options), Throws.TypeOf<ArgumentOutOfRangeException>()
            .With.Message.EqualTo(expected.Message)
            .And.Property("ParamName").EqualTo("AbsoluteExpiration")
            .And.Property("ActualValue").EqualTo(moment));
    }

    [Test]
    public async Task SlidingExpiration_IsRenewedByGetTryGetAndRefresh()
    {
        await Set("key", Value, new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromSeconds(10) });
        for (var i = 0; i < 6; i++)
        {
            Time.Advance(TimeSpan.FromSeconds(9));
            switch (i % 3)
            {
                case 0:
                    Assert.That(await Get("key"), Is.EqualTo(Value));
                    break;
                case 1:
                    Assert.That(await TryGet("key", new ArrayBufferWriter<byte>()), Is.True);
                    break;
                default:
                    await Refresh("key");
                    break;
            }
        }

        Time.Advance(TimeSpan.FromSeconds(10));
        Assert.That(await Get("key"), Is.Null);
    }

    [Test]
    public async Task SlidingExpiration_IsCappedByAbsolute()
    {
        await Set("key", Value, new DistributedCacheEntryOptions
        {
            SlidingExpiration = TimeSpan.FromSeconds(10),
            AbsoluteExpirationRelativeToNow = TimeSpan.FromSeconds(25),
        });
        for (var i = 0; i < 4; i++)
        {
            Time.Advance(TimeSpan.FromSeconds(6));
            Assert.That(await Get("key"), Is.EqualTo(Value));
        }

        Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await Get("key"), Is.Null);
    }

    [Test]
    public async Task SlidingExpiration_BelowAMillisecond_IsStillAWindow()
    {
        await Set("key", Value, new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromTicks(1) });
        Assert.That(await Get("key"), Is.EqualTo(Value));
        Time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(await Get("key"), Is.Null);
    }

    [Test]
    public async Task Refresh_OfAnUnknownOrRemovedKey_IsNoErrorAndMakesNothing()
    {
        await Refresh("key");
        await Set("key", Value);
        await Remove("key");
        await Refresh("key");
        Assert.That(await Get("key"), Is.Null);
    }

    [Test]
    public async Task LongExpirations_Saturate()
    {
        await Set("days", Value, new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromDays(1_000) });
        await Set("sliding", Value, new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.MaxValue });
        await Set("relative", Value, new DistributedCacheEntryOptions { AbsoluteExpirationRelativeToNow = TimeSpan.MaxValue });
        await Set("absolute", Value, new DistributedCacheEntryOptions { AbsoluteExpiration = DateTimeOffset.MaxValue });
        Time.Jump(TimeSpan.FromDays(999));
        foreach (var key in new[] { "days", "sliding", "relative", "absolute" })
        {
            Assert.That(await Get(key), Is.EqualTo(Value), key);
        }

        Time.Jump(TimeSpan.FromDays(1_000));
        Assert.That(await Get("days"), Is.Null);
    }

    [Test]
    public async Task DefaultExpiration_CountsWhereTheWriterSaysNothing()
    {
        using var services = new ServiceCollection()
            .AddSingleton<TimeProvider>(Time)
            .AddDistCache(options => options.Memory.DefaultExpiration = TimeSpan.FromMinutes(1)).Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        await cache.SetAsync("silent", Value, new DistributedCacheEntryOptions());
        await cache.SetAsync("told", Value, new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromHours(1) });
        Time.Advance(TimeSpan.FromMinutes(1));
        Assert.Multiple(() =>
        {
            Assert.That(cache.Get("silent"), Is.Null);
            Assert.That(cache.Get("told"), Is.EqualTo(Value));
        });
    }

    [Test]
    public async Task Expiry_GoesByTheTimeProviderOnly()
    {
        await Set("key", Value, new DistributedCacheEntryOptions { AbsoluteExpirationRelativeToNow = TimeSpan.FromTicks(1) });
        Assert.That(await Get("key"), Is.EqualTo(Value), "no time has passed on the clock that counts");
    }
}
