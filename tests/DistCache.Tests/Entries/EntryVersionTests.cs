using DistCache.Entries;

namespace DistCache.Tests.Entries;

internal sealed class EntryVersionTests
{
    [TestCase(1UL, 9U, 2UL, 1U, Description = "the clock decides")]
    [TestCase(2UL, 1U, 2UL, 2U, Description = "the origin decides between equal clocks")]
    [TestCase(2UL, 0x7FFF_FFFFU, 2UL, 0x8000_0000U, Description = "origins are unsigned")]
    [TestCase(0x7FFF_FFFF_FFFF_FFFFUL, 9U, 0x8000_0000_0000_0000UL, 0U, Description = "clocks are unsigned")]
    [TestCase(0UL, 0U, 0UL, 1U, Description = "the default is older than all")]
    public void CompareTo_LowerAndHigher_AreOrderedByEveryOperator(ulong lowClock, uint lowOrigin, ulong highClock, uint highOrigin)
    {
        var low = new EntryVersion(lowClock, lowOrigin);
        var high = new EntryVersion(highClock, highOrigin);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(low.CompareTo(high), Is.Negative);
            Assert.That(high.CompareTo(low), Is.Positive);
            Assert.That((bool[])[low < high, low <= high, high > low, high >= low, low != high], Is.All.True);
            Assert.That((bool[])[low > high, low >= high, high < low, high <= low, low == high], Is.All.False);
        }
    }

    [Test]
    public void CompareTo_Same_IsEqualByEveryOperator()
    {
        var one = new EntryVersion(5, 6);
        var same = new EntryVersion(5, 6);
        Assert.That(one.CompareTo(same), Is.Zero);
        Assert.That((bool[])[one <= same, one >= same, one == same], Is.All.True);
        Assert.That((bool[])[one < same, one > same], Is.All.False);
    }

    [Test]
    public void ToString_NamesMillisecondsCounterAndOrigin() =>
        Assert.That(new EntryVersion((1_000UL << 16) + 3, 0xAB).ToString(), Is.EqualTo("1000.3@000000ab"));
}
