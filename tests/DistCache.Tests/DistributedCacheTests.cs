using System.Buffers;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;

namespace DistCache.Tests;

/// <summary>The contract of <see cref="IDistributedCache"/> and <see cref="IBufferDistributedCache"/>, each call in both its forms.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class DistributedCacheTests(bool isAsync) : CacheContract(isAsync)
{
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
            Assert.That(Cache.Get("key"), Is.EqualTo(new byte[] { 1 }));
            Assert.That(Cache.Get("KEY"), Is.EqualTo(new byte[] { 2 }));
            Assert.That(Cache.Get("key "), Is.EqualTo(new byte[] { 3 }));
            Assert.That(Cache.Get("e\u0301"), Is.EqualTo(new byte[] { 4 }));
            Assert.That(Cache.Get("\u00E9"), Is.EqualTo(new byte[] { 5 }));
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
            Assert.That(() => Cache.Set("k", (byte[])null!, options), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("value"));
            Assert.That(async () => await Cache.SetAsync("k", (byte[])null!, options), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("value"));
            Assert.That(() => Cache.Set("k", Value, null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("options"));
            Assert.That(async () => await Cache.SetAsync("k", Value, null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("options"));
            Assert.That(() => Cache.Set("k", default(ReadOnlySequence<byte>), null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("options"));
            Assert.That(() => Cache.TryGet("k", null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("destination"));
            Assert.That(async () => await Cache.TryGetAsync("k", null!), Throws.ArgumentNullException.With.Property("ParamName").EqualTo("destination"));
        });
    }

    [Test]
    public async Task EmptyValue_IsAHitAndNotAMiss()
    {
        await Set("empty", []);
        var destination = new ArrayBufferWriter<byte>();
        Assert.Multiple(() =>
        {
            Assert.That(Cache.Get("empty"), Is.Not.Null.And.Empty);
            Assert.That(Cache.TryGet("empty", destination), Is.True);
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
        if (IsAsync)
        {
            await Cache.SetAsync("key", sequence, new DistributedCacheEntryOptions());
        }
        else
        {
            Cache.Set("key", sequence, new DistributedCacheEntryOptions());
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
            Assert.That(Cache.Get("key"), Is.EqualTo(value));
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
        Time.Jump(TimeSpan.FromDays(100));
        Assert.That(await Get("key"), Is.EqualTo(new byte[] { 7 }));
    }

    [Test]
    public async Task Cancellation_BeforeTheCall_SurfacesAsCancellationAndChangesNothing()
    {
        await Set("key", Value);
        var cancelled = new CancellationToken(canceled: true);
        var options = new DistributedCacheEntryOptions();
        Assert.Multiple(() =>
        {
            Assert.That(async () => await Cache.GetAsync("key", cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await Cache.TryGetAsync("key", new ArrayBufferWriter<byte>(), cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await Cache.SetAsync("key", [9], options, cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await Cache.SetAsync("key", new ReadOnlySequence<byte>([9]), options, cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await Cache.RefreshAsync("key", cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await Cache.RemoveAsync("key", cancelled), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(Cache.Get("key"), Is.EqualTo(Value));
        });
    }

    [Test]
    public void AfterDispose_EveryCallThrowsObjectDisposed()
    {
        Services.Dispose();
        foreach (var call in CallsWith("key"))
        {
            Assert.That(async () => await call(), Throws.TypeOf<ObjectDisposedException>());
        }
    }

    private List<Func<Task>> CallsWith(string key)
    {
        var options = new DistributedCacheEntryOptions();
        return IsAsync
            ?
            [
                () => Cache.GetAsync(key),
                () => Cache.TryGetAsync(key, new ArrayBufferWriter<byte>()).AsTask(),
                () => Cache.SetAsync(key, Value, options),
                () => Cache.SetAsync(key, new ReadOnlySequence<byte>(Value), options).AsTask(),
                () => Cache.RefreshAsync(key),
                () => Cache.RemoveAsync(key),
            ]
            :
            [
                () => Task.FromResult(Cache.Get(key)),
                () => Task.FromResult(Cache.TryGet(key, new ArrayBufferWriter<byte>())),
                () => Run(() => Cache.Set(key, Value, options)),
                () => Run(() => Cache.Set(key, new ReadOnlySequence<byte>(Value), options)),
                () => Run(() => Cache.Refresh(key)),
                () => Run(() => Cache.Remove(key)),
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
