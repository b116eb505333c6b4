using DistCache.Entries;

namespace DistCache.Tests.Entries;

internal sealed class SlotSetTests
{
    private static readonly int[] Edges = [0, 1, 63, 64, 65, 127, 128, 8_191, 16_320, 16_382, 16_383];

    [Test]
    public void New_HoldsNothing()
    {
        var set = new SlotSet();
        Assert.That(set.IsEmpty, Is.True);
        Assert.That(set.Count, Is.Zero);
        Assert.That(Numbers(set), Is.Empty);
    }

    [Test]
    public void All_HoldsEverySlot()
    {
        var set = SlotSet.All();
        Assert.That(set.Count, Is.EqualTo(Slot.Count));
        Assert.That(Numbers(set), Is.EqualTo(Enumerable.Range(0, Slot.Count)));
    }

    [Test]
    public void Add_Edges_AreFoundAndEnumeratedInOrder()
    {
        var set = Of(Edges.Reverse());
        Assert.That(Numbers(set), Is.EqualTo(Edges));
        Assert.That(set.Count, Is.EqualTo(Edges.Length));
        Assert.That(set.IsEmpty, Is.False);
        Assert.That(Enumerable.Range(0, Slot.Count).Where(i => set.Contains(new Slot(i))), Is.EqualTo(Edges));
    }

    [Test]
    public void Add_Twice_CountsOnce() => Assert.That(Of([7, 7]).Count, Is.EqualTo(1));

    [Test]
    public void Remove_TakesThatSlotAlone()
    {
        var set = Of(Edges);
        set.Remove(new Slot(64));
        set.Remove(new Slot(2));
        Assert.That(Numbers(set), Is.EqualTo(Edges.Except([64])));
    }

    [Test]
    public void SetOperations_RandomSets_AgreeWithTheModel()
    {
        var seed = Environment.TickCount;
        TestContext.Out.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (var round = 0; round < 20; round++)
        {
            var left = RandomNumbers(random);
            var right = RandomNumbers(random);
            Assert.That(Numbers(With(left, set => set.IntersectWith(Of(right)))), Is.EqualTo(left.Intersect(right).Order()));
            Assert.That(Numbers(With(left, set => set.UnionWith(Of(right)))), Is.EqualTo(left.Union(right).Order()));
            Assert.That(Numbers(With(left, set => set.ExceptWith(Of(right)))), Is.EqualTo(left.Except(right).Order()));
        }
    }

    [Test]
    public void Copy_ChangedAfterwards_LeavesTheOriginal()
    {
        var set = Of([5]);
        var copy = set.Copy();
        copy.Add(new Slot(6));
        copy.Remove(new Slot(5));
        Assert.That(Numbers(set), Is.EqualTo((int[])[5]));
        Assert.That(Numbers(copy), Is.EqualTo((int[])[6]));
    }

    [Test]
    public void CopyBitmapTo_HasSlotIAtBitIOfByteIOverEight()
    {
        var bitmap = new byte[SlotSet.ByteCount];
        Of([0, 9, 64, 16_383]).CopyBitmapTo(bitmap);
        var expected = new byte[SlotSet.ByteCount];
        (expected[0], expected[1], expected[8], expected[^1]) = (0x01, 0x02, 0x01, 0x80);
        Assert.That(bitmap, Is.EqualTo(expected));
    }

    [Test]
    public void FromBitmap_OfCopyBitmapTo_IsTheSameSet()
    {
        var bitmap = new byte[SlotSet.ByteCount];
        Of(Edges).CopyBitmapTo(bitmap);
        Assert.That(Numbers(SlotSet.FromBitmap(bitmap)), Is.EqualTo(Edges));
    }

    [TestCase(0)]
    [TestCase(SlotSet.ByteCount - 1)]
    [TestCase(SlotSet.ByteCount + 1)]
    public void FromBitmap_WrongLength_IsRefusedWithBothNumbers(int length) =>
        Assert.That(
            () => SlotSet.FromBitmap(new byte[length]),
            Throws.ArgumentException.With.Message.Contains("2048").And.Message.Contains($"got {length}"));

    private static SlotSet Of(IEnumerable<int> numbers)
    {
        var set = new SlotSet();
        foreach (var number in numbers)
        {
            set.Add(new Slot(number));
        }

        return set;
    }

    private static SlotSet With(IEnumerable<int> numbers, Action<SlotSet> change)
    {
        var set = Of(numbers);
        change(set);
        return set;
    }

    private static List<int> Numbers(SlotSet set)
    {
        var numbers = new List<int>();
        foreach (var slot in set)
        {
            numbers.Add(slot.Number);
        }

        return numbers;
    }

    private static HashSet<int> RandomNumbers(Random random) =>
        [.. Enumerable.Range(0, random.Next(2_000)).Select(_ => random.Next(Slot.Count))];
}
