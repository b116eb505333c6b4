using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>Under LRU pages go from class to class, and the order of use stays: within a class exactly, between classes by their oldest entries.</summary>
internal sealed class EvictionOrderTests
{
    private const int Small = 100;
    private const int Medium = 500;
    private const int Big = 2_000;

    private MemoryTier _tier = null!;

    [SetUp]
    public void SetUp() => _tier = new MemoryTier(4 << 20, Eviction.Lru, new ManualTime(), null, new TierTuning(1, HashSeed: 1));

    [TearDown]
    public void TearDown()
    {
        TierCheck.Verify(_tier.Memory!);
        _tier.Dispose();
    }

    [Test]
    public void ClassThatIsWrittenTo_TakesNothingFromOneThatWasUsedLater()
    {
        Put(Medium, 0, 2_800);
        Put(Big, 0, 1_050);
        Assert.That(_tier.Statistics.EvictedForSize, Is.Zero);
        Use(Medium, Enumerable.Range(0, 2_800));
        Put(Big, 1_050, 500);
        Assert.That(_tier.Statistics.EvictedForSize, Is.GreaterThan(300));
        Assert.That(Held(Medium, 2_800), Is.EqualTo(Enumerable.Range(0, 2_800)), "they were used after the others were written");
        Assert.That(Held(Big, 1_550), Is.EqualTo(Last(Held(Big, 1_550).Length, 1_550)), "the oldest went");
    }

    [Test]
    public void ClassThatIsNew_GetsItsPagesFromTheOneWithTheOldestEntries()
    {
        Put(Medium, 0, 2_800);
        Put(Big, 0, 1_050);
        Use(Medium, Enumerable.Range(0, 2_800));
        Put(Small, 0, 4_000);
        Assert.That(Held(Medium, 2_800), Has.Length.EqualTo(2_800));
        var left = Held(Big, 1_050);
        Assert.That(left, Has.Length.InRange(100, 1_000));
        Assert.That(left, Is.EqualTo(Last(left.Length, 1_050)));
    }

    [Test]
    public void PageThatIsGiven_CostsTheOldestOfItsClass_WhereverTheyStand()
    {
        Put(Medium, 0, 6_800);
        Assert.That(_tier.Statistics.EvictedForSize, Is.Zero);
        // An eighth is not used again, a few in every page.
        Use(Medium, Enumerable.Range(0, 6_800).Where(i => i % 8 != 0));
        Put(Small, 0, 3_000);
        var gone = Enumerable.Range(0, 6_800).Except(Held(Medium, 6_800)).ToArray();
        Assert.That(gone, Has.Length.InRange(100, 850));
        Assert.That(gone, Is.EqualTo(Enumerable.Range(0, gone.Length).Select(i => 8 * i)));
    }

    [Test]
    public void PageThatIsAskedFor_ComesFromAClassWithRoomToSpare_AndNobodyGoes()
    {
        Put(Medium, 0, 2_800);
        Put(Big, 0, 1_050);
        Use(Big, Enumerable.Range(0, 1_050));
        var even = Enumerable.Range(0, 1_400).Select(i => 2 * i).ToArray();
        Array.ForEach(even, number => _tier.Forget(TierFace.Key(Key(Medium, number)), TierFace.Version(1)));
        for (var i = 0; i < 50; i++)
        {
            Assert.That(_tier.Memory!.Shards[0].TryGivePage());
        }

        Assert.That(_tier.Statistics.EvictedForSize, Is.Zero);
        Assert.That(Held(Medium, 2_800), Is.EqualTo(even.Select(number => number + 1)));
        Assert.That(Held(Big, 1_050), Has.Length.EqualTo(1_050));
    }

    [Test]
    public void ClassThatGrows_WhileAnotherHasRoomToSpare_LosesNothing()
    {
        Put(Medium, 0, 6_800);
        for (var number = 0; number < 6_800; number += 2)
        {
            _tier.Forget(TierFace.Key(Key(Medium, number)), TierFace.Version(1));
        }

        Put(Small, 0, 5_000);
        Assert.That(_tier.Statistics.EvictedForSize, Is.Zero);
        Assert.That(Held(Small, 5_000), Has.Length.EqualTo(5_000));
    }

    private static string Key(int size, int number) => $"{size}/{number}";

    private static IEnumerable<int> Last(int count, int of) => Enumerable.Range(of - count, count);

    private void Put(int size, int first, int count)
    {
        foreach (var number in Enumerable.Range(first, count))
        {
            _tier.Put(Key(size, number), 1, TierFace.Value(size));
        }
    }

    private void Use(int size, IEnumerable<int> numbers)
    {
        foreach (var number in numbers)
        {
            Assert.That(_tier.Get(Key(size, number)), Is.Not.Null);
        }
    }

    private int[] Held(int size, int of) => [.. Enumerable.Range(0, of).Where(number => _tier.Get(Key(size, number), renew: false) is not null)];
}
