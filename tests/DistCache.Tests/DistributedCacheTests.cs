using System.Buffers;
using System.Text;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;

namespace DistCache.Tests;

/// <summary>The contract of <see cref="IDistributedCache"/> and <see cref="IBufferDistributedCache"/>, each call in both its forms.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class DistributedCacheTests(bool isAsync)
{
    private static readonly byte[] Value = Encoding.UTF8.GetBytes("value");

    private readonly ManualTime _time = new();
    private ServiceProvider _services = null!;
    private IBufferDistributedCache _cache = null!;

    [SetUp]
    public void SetUp()
    {
        _services = new ServiceCollection().AddSingleton<TimeProvider>(_time).AddDistCache().Services.BuildServiceProvider();
        _cache = (IBufferDistributedCache)_services.GetRequiredService<IDistributedCache>();
    }

    [TearDown]
    public void TearDown() => _services.Dispose();

    [Test]
    public async Task Get_OfAnUnknownKey_IsNull() => Assert.That(await Get("nobody"), Is.Null);

    [TestCase("")]
    [TestCase(" key ")]
    [TestCase("Straße/ключ/鍵/🗝")]
    [TestCase("\0")]
    public async Task Set_ThenGet_GivesTheValue(string key)
    {
        await Set(key, Value);
        Assert.That(await Get(key), Is.EqualTo(Value));
    }

    [Test]
    public async Task Key_ComparesOrdinalCaseSensitiveAndUntrimmed()
    {
        await Set("key", [1]);
        await Set("KEY", [2]);
        await Set("key ", [3]);
        await Set("e\u0301", [4]);
        await Set("\u00E9", [5]);
        Assert.Multiple(() =>
        {
            Assert.That(_cache.Get("key"), Is.EqualTo(new byte[] { 1 }));
            Assert.That(_cache.Get("KEY"), Is.EqualTo(new byte[] { 2 }));
            Assert.That(_cache.Get("key "), Is.EqualTo(new byte[] { 3 }));
            Assert.That(_cache.Get("e\u0301"), Is.EqualTo(new byte[] { 4 }));
            Assert.That(_cache.Get("\u00E9"), Is.EqualTo(new byte[] { 5 }));
        });
    }

    [Test]
    public void Key_IllFormed_IsRefusedByEveryCall()
    {
        // Not as cases: an attribute's text is stored as UTF-8, which has no form for these.
        string[] keys = ["\uD800", "a\uDC00b", "\uDC00\uD800", "key\uDBFF"];
        foreach (var call in keys.SelectMany(CallsWith))
        {
            Assert.That(async () => await call(), Throws.ArgumentException.With.Message.Contains("not well-formed UTF-16"));
        }
    }

    [Test]
    public async Task Key_OfTheMaximumLength_Works()
    {
        var key = new string('ä', 2_048);
        await Set(key, Value);
        Assert.That(await Get(key), Is.EqualTo(Value));
    }

    [Test]
    public void Key_OneByteTooLong_IsRefusedByEveryCallWithBothNumbers()
    {
        foreach (var call in CallsWith(new string('ä', 2_048) + "x"))
        {
            Assert.That(async () => await call(), Throws.ArgumentException.With.Message.Contains("4097").And.Message.Contains("4096"));
        }
    }

    [Test]
    public void NullArguments_AreRefusedByName()
    {
        var options = new DistributedCacheEntryOptions();
        foreach (var call in CallsWith(null!))
        {
            Assert.That(async () => await call(), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("key"));
        }

        Assert.Multiple(() =>
        {
            Assert.That(() => _cache.Set("k", (byte[])null!, options), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("value"));
            Assert.That(async () => await _cache.SetAsync("k", (byte[])null!, options), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("value"));
            Assert.That(() => _cache.Set("k", Value, null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("options"));
            Assert.That(async () => await _cache.SetAsync("k", Value, null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("options"));
            Assert.That(() => _cache.Set("k", default(ReadOnlySequence<byte>), null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("options"));
            Assert.That(() => _cache.TryGet("k", null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("destination"));
            Assert.That(async () => await _cache.TryGetAsync("k", null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("destination"));
        });
    }

    [Test]
    public async Task EmptyValue_IsAHitAndNotAMiss()
    {
        await Set("empty", []);
        var destination = new ArrayBufferWriter<byte>();
        Assert.Multiple(() =>
        {
            Assert.That(_cache.Get("empty"), Is.Not.Null.And.Empty);
            Assert.That(_cache.TryGet("empty", destination), Is.True);
            Assert.That(destination.WrittenCount, Is.Zero);
        });
    }

    [Test]
    public async Task Buffers_AreCopiedInAndOut()
    {
        var value = Value.ToArray();
        await Set("key", value);
        value[0] = 0;
        var first = await Get("key");
        first![1] = 0;
        Assert.That(await Get("key"), Is.EqualTo(Value));
    }

    [Test]
    public async Task Sequence_OfSeveralSegments_IsOneValue()
    {
        var sequence = Segments([1, 2], [], [3], [4, 5, 6]);
        if (isAsync)
        {
            await _cache.SetAsync("key", sequence, new DistributedCacheEntryOptions());
        }
        else
        {
            _cache.Set("key", sequence, new DistributedCacheEntryOptions());
        }

        Assert.That(await Get("key"), Is.EqualTo(new byte[] { 1, 2, 3, 4, 5, 6 }));
    }

    [Test]
    public async Task TryGet_OfAMiss_WritesNothing()
    {
        var destination = new ArrayBufferWriter<byte>();
        var isHit = await TryGet("nobody", destination);
        Assert.Multiple(() =>
        {
            Assert.That(isHit, Is.False);
            Assert.That(destination.WrittenCount, Is.Zero);
        });
    }

    [TestCase(1)]
    [TestCase(255)]
    [TestCase(257)]
    [TestCase(8_192)]
    [TestCase(8_193)]
    [TestCase(1_000_000)]
    public async Task TryGet_OfAHit_AppendsTheValueAndNothingElse(int length)
    {
        var value = new byte[length];
        new Random(length).NextBytes(value);
        await Set("key", value);
        var destination = new ArrayBufferWriter<byte>();
        destination.Write(Value);
        var isHit = await TryGet("key", destination);
        Assert.Multiple(() =>
        {
            Assert.That(isHit, Is.True);
            Assert.That(destination.WrittenMemory.ToArray(), Is.EqualTo((byte[])[.. Value, .. value]));
            Assert.That(_cache.Get("key"), Is.EqualTo(value));
        });
    }

    [Test]
    public async Task Value_OfTheMaximumLength_Works_AndOneByteMoreIsRefused()
    {
        using var services = new ServiceCollection()
            .AddDistCache(options => options.Memory.MaximumValueBytes = 1_000).Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        await cache.SetAsync("key", new byte[1_000], new DistributedCacheEntryOptions());
        Assert.Multiple(() =>
        {
            Assert.That(cache.Get("key"), Has.Length.EqualTo(1_000));
            Assert.That(
                () => cache.Set("key", new byte[1_001], new DistributedCacheEntryOptions()),
                Throws.ArgumentException.With.Message.Contains("1001").And.Message.Contains("1000").And.Message.Contains("Memory.MaximumValueBytes"));
            Assert.That(cache.Get("key"), Has.Length.EqualTo(1_000));
        });
    }

    [Test]
    public void Value_LargerThanTheBudget_IsRefusedAndEverythingElseStays()
    {
        using var services = new ServiceCollection()
            .AddDistCache(options => options.Memory.SizeLimit = 16 << 20).Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        cache.Set("other", Value, new DistributedCacheEntryOptions());
        Assert.Multiple(() =>
        {
            Assert.That(
                () => cache.Set("key", new byte[(16 << 20) + 1], new DistributedCacheEntryOptions()),
                Throws.ArgumentException.With.Message.Contains("Memory.SizeLimit"));
            Assert.That(cache.Get("key"), Is.Null);
            Assert.That(cache.Get("other"), Is.EqualTo(Value));
        });
    }

    [Test]
    public async Task Remove_ThenGet_IsAMiss_AndTwiceIsNoError()
    {
        await Set("key", Value);
        await Remove("key");
        await Remove("key");
        Assert.That(await Get("key"), Is.Null);
        await Set("key", Value);
        Assert.That(await Get("key"), Is.EqualTo(Value));
    }

    [Test]
    public async Task Set_Again_ReplacesValueAndExpiration()
    {
        await Set("key", Value, new DistributedCacheEntryOptions { AbsoluteExpirationRelativeToNow = TimeSpan.FromSeconds(1) });
        await Set("key", [7], new DistributedCacheEntryOptions());
        _time.Jump(TimeSpan.FromDays(100));
        Assert.That(await Get("key"), Is.EqualTo(new byte[] { 7 }));
    }

    [Test]
    public async Task AbsoluteExpiration_EndsTheEntryAtThatMoment()
    {
        await Set("key", Value, new DistributedCacheEntryOptions { AbsoluteExpiration = _time.GetUtcNow().AddSeconds(10) });
        _time.Advance(TimeSpan.FromSeconds(10) - TimeSpan.FromMilliseconds(1));
        Assert.That(await Get("key"), Is.EqualTo(Value));
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(await Get("key"), Is.Null);
    }

    [Test]
    public async Task AbsoluteExpirationRelativeToNow_WinsOverAbsoluteExpiration()
    {
        await Set("key", Value, new DistributedCacheEntryOptions
        {
            AbsoluteExpiration = _time.GetUtcNow().AddSeconds(1),
            AbsoluteExpirationRelativeToNow = TimeSpan.FromSeconds(10),
        });
        _time.Advance(TimeSpan.FromSeconds(9));
        Assert.That(await Get("key"), Is.EqualTo(Value));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await Get("key"), Is.Null);
    }

    [TestCase(0)]
    [TestCase(-1)]
    public void AbsoluteExpiration_NotInTheFuture_ThrowsTheExactError(int secondsFromNow)
    {
        var moment = _time.GetUtcNow().AddSeconds(secondsFromNow);
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
            _time.Advance(TimeSpan.FromSeconds(9));
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

        _time.Advance(TimeSpan.FromSeconds(10));
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
            _time.Advance(TimeSpan.FromSeconds(6));
            Assert.That(await Get("key"), Is.EqualTo(Value));
        }

        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await Get("key"), Is.Null);
    }

    [Test]
    public async Task SlidingExpiration_BelowAMillisecond_IsStillAWindow()
    {
        await Set("key", Value, new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromTicks(1) });
        Assert.That(await Get("key"), Is.EqualTo(Value));
        _time.Advance(TimeSpan.FromMilliseconds(1));
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
        _time.Jump(TimeSpan.FromDays(999));
        foreach (var key in new[] { "days", "sliding", "relative", "absolute" })
        {
            Assert.That(await Get(key), Is.EqualTo(Value), key);
        }

        _time.Jump(TimeSpan.FromDays(1_000));
        Assert.That(await Get("days"), Is.Null);
    }

    [Test]
    public async Task DefaultExpiration_CountsWhereTheWriterSaysNothing()
    {
        using var services = new ServiceCollection()
            .AddSingleton<TimeProvider>(_time)
            .AddDistCache(options => options.Memory.DefaultExpiration = TimeSpan.FromMinutes(1)).Services.BuildServiceProvider();
        var cache = services.GetRequiredService<IDistributedCache>();
        await cache.SetAsync("silent", Value, new DistributedCacheEntryOptions());
        await cache.SetAsync("told", Value, new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromHours(1) });
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Multiple(() =>
        {
            Assert.That(cache.Get("silent"), Is.Null);
            Assert.That(cache.Get("told"), Is.EqualTo(Value));
        });
    }

    [Test]
    public async Task Cancellation_BeforeTheCall_SurfacesAsCancellationAndChangesNothing()
    {
        await Set("key", Value);
        var cancelled = new CancellationToken(canceled: true);
        var options = new DistributedCacheEntryOptions();
        Assert.Multiple(() =>
        {
            Assert.That(async () => await _cache.GetAsync("key", cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await _cache.TryGetAsync("key", new ArrayBufferWriter<byte>(), cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await _cache.SetAsync("key", [9], options, cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await _cache.SetAsync("key", new ReadOnlySequence<byte>([9]), options, cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await _cache.RefreshAsync("key", cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await _cache.RemoveAsync("key", cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(_cache.Get("key"), Is.EqualTo(Value));
        });
    }

    [Test]
    public void AfterDispose_EveryCallThrowsObjectDisposed()
    {
        _services.Dispose();
        foreach (var call in CallsWith("key"))
        {
            Assert.That(async () => await call(), Throws.TypeOf<ObjectDisposedException>());
        }
    }

    [Test]
    public async Task Expiry_GoesByTheTimeProviderOnly()
    {
        await Set("key", Value, new DistributedCacheEntryOptions { AbsoluteExpirationRelativeToNow = TimeSpan.FromTicks(1) });
        Assert.That(await Get("key"), Is.EqualTo(Value), "no time has passed on the clock that counts");
    }

    private async Task<byte[]?> Get(string key) => isAsync ? await _cache.GetAsync(key) : _cache.Get(key);

    private async Task<bool> TryGet(string key, IBufferWriter<byte> destination) =>
        isAsync ? await _cache.TryGetAsync(key, destination) : _cache.TryGet(key, destination);

    private async Task Set(string key, byte[] value, DistributedCacheEntryOptions? options = null)
    {
        options ??= new DistributedCacheEntryOptions();
        if (isAsync)
        {
            await _cache.SetAsync(key, value, options);
        }
        else
        {
            _cache.Set(key, value, options);
        }
    }

    private async Task Remove(string key)
    {
        if (isAsync)
        {
            await _cache.RemoveAsync(key);
        }
        else
        {
            _cache.Remove(key);
        }
    }

    private async Task Refresh(string key)
    {
        if (isAsync)
        {
            await _cache.RefreshAsync(key);
        }
        else
        {
            _cache.Refresh(key);
        }
    }

    private List<Func<Task>> CallsWith(string key)
    {
        var options = new DistributedCacheEntryOptions();
        return isAsync
            ?
            [
                () => _cache.GetAsync(key),
                () => _cache.TryGetAsync(key, new ArrayBufferWriter<byte>()).AsTask(),
                () => _cache.SetAsync(key, Value, options),
                () => _cache.SetAsync(key, new ReadOnlySequence<byte>(Value), options).AsTask(),
                () => _cache.RefreshAsync(key),
                () => _cache.RemoveAsync(key),
            ]
            :
            [
                () => Task.FromResult(_cache.Get(key)),
                () => Task.FromResult(_cache.TryGet(key, new ArrayBufferWriter<byte>())),
                () => Run(() => _cache.Set(key, Value, options)),
                () => Run(() => _cache.Set(key, new ReadOnlySequence<byte>(Value), options)),
                () => Run(() => _cache.Refresh(key)),
                () => Run(() => _cache.Remove(key)),
            ];

        static Task Run(Action action)
        {
            action();
            return Task.CompletedTask;
        }
    }

    private static ReadOnlySequence<byte> Segments(params byte[][] parts)
    {
        var first = new Segment(parts[0], null);
        var last = parts.Skip(1).Aggregate(first, (previous, part) => new Segment(part, previous));
        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(byte[] bytes, Segment? previous)
        {
            Memory = bytes;
            if (previous is not null)
            {
                previous.Next = this;
                RunningIndex = previous.RunningIndex + previous.Memory.Length;
            }
        }
    }
}
