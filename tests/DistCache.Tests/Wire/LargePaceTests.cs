using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

internal sealed class LargePaceTests
{
    private readonly ManualTime _time = new();
    private LargePace _pace = null!;

    [SetUp]
    public void Begin() => _pace = new LargePace(_time);

    [Test]
    public void LargeMessage_Alone_GoesInLargeChunksWithoutRest()
    {
        Assert.That(_pace.ChunkBytes, Is.EqualTo(LaneLimits.SentChunkBytes));
        Assert.That(_pace.RestAsync().IsCompleted, Is.True);
    }

    [Test]
    public void LargeMessage_SomeTimeAfterASmallOne_IsAloneAgain()
    {
        NoteSmall();
        Assert.That(_pace.ChunkBytes, Is.EqualTo(WireLimits.BusyChunkBytes));

        _time.Advance(WireLimits.BusyWithin);

        Assert.That(_pace.ChunkBytes, Is.EqualTo(LaneLimits.SentChunkBytes));
        Assert.That(_pace.RestAsync().IsCompleted, Is.True);
    }

    /// <summary>A rest would last as long as a timer, 2 048 times for 64 MiB: longer than the message may take.</summary>
    [Test]
    public void LargeMessage_BesideFewSmallOnes_DoesNotRest()
    {
        for (var i = 0; i < 5; i++)
        {
            _pace.NoteSmall(_time.GetTimestamp());
            Assert.That(_pace.RestAsync().IsCompleted, Is.True);
            _time.Advance(2 * WireLimits.BusyWithin);
        }
    }

    [Test]
    public async Task Rest_EndsWithTheFirstSmallMessage_AfterItsTime()
    {
        NoteSmall();
        var rests = new[] { _pace.RestAsync(), _pace.RestAsync() };

        _time.Advance(WireLimits.ShortestRest - TimeSpan.FromMicroseconds(1));
        NoteSmall();
        var later = _pace.RestAsync();
        Assert.That(rests.Any(rest => rest.IsCompleted), Is.False, "too soon");
        _time.Advance(TimeSpan.FromMicroseconds(1));
        Assert.That(rests.Any(rest => rest.IsCompleted), Is.False, "the small ones have not had their turn");
        NoteSmall();

        await Task.WhenAll(rests).WaitAsync(TestNode.Patience);
        Assert.That(later.IsCompleted, Is.False);
    }

    [Test]
    public async Task Rest_WithoutAnotherSmallMessage_EndsByItself()
    {
        NoteSmall();
        var rest = _pace.RestAsync();

        _time.Advance(WireLimits.LongestRest);

        await rest.WaitAsync(TestNode.Patience);
    }

    [Test]
    public async Task LongMessage_BesideSmallOnes_RestsAfterEachOfItsSmallerChunks()
    {
        var writer = new BatchWriter(Lane.Bulk, new HybridClock(_time), _pace);
        var stream = new MemoryStream();
        NoteSmall();
        writer.Append(1, new WriteRequest(
            new byte[] { 1 }, false, default, RemainingTime.Unlimited, new byte[4 * WireLimits.BusyChunkBytes], WriteAck.All, 0, false));
        const int length = WireLimits.BusyChunkBytes;
        var running = writer.RunAsync(stream, sent: null, default);

        for (var chunks = 1; chunks <= 4; chunks++)
        {
            var sent = Is.InRange(chunks * length, (chunks * length) + (chunks * WireLimits.ChunkOverheadBytes));
            Assert.That(() => stream.Length, sent.After(Patience.Milliseconds, 1));
            _time.Advance(WireLimits.ShortestRest);
            NoteSmall();
        }

        writer.Close(finishLong: true);
        await running.WaitAsync(TestNode.Patience);
    }

    /// <summary>A request and a reply.</summary>
    private void NoteSmall()
    {
        _pace.NoteSmall(_time.GetTimestamp());
        _pace.NoteSmall(_time.GetTimestamp());
    }
}
