using DistCache.Peers;

namespace DistCache.Tests.Peers;

[NonParallelizable] // The spare arrays are the process's.
internal sealed class ValueBytesTests
{
    private const int Large = ValueBytes.LargestShared + 1;

    [SetUp]
    public void ForgetSparesOfOthers() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true);

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(ValueBytes.LargestShared)]
    public void Rent_OfUpToTheLargestShared_GivesAtLeastThat(int length)
    {
        var array = ValueBytes.Rent(length);

        Assert.That(array.Length, Is.GreaterThanOrEqualTo(length));
        ValueBytes.Return(array);
    }

    [Test]
    public void Rent_OfALargeOne_GivesWhatWasReturned_ToOneAtATime()
    {
        var first = ValueBytes.Rent(4 * Large);
        ValueBytes.Return(first);

        var second = ValueBytes.Rent(3 * Large);
        var third = ValueBytes.Rent(3 * Large);

        Assert.That(ReferenceEquals(second, first), Is.True);
        Assert.That(ReferenceEquals(third, first), Is.False);
        ValueBytes.Return(second);
        ValueBytes.Return(third);
    }

    [Test]
    public void Rent_OfLessThanHalfOfASpare_LeavesTheSpare()
    {
        var large = ValueBytes.Rent(8 * Large);
        ValueBytes.Return(large);

        Assert.That(ValueBytes.Rent(2 * Large).Length, Is.LessThan(8 * Large));
        Assert.That(ReferenceEquals(ValueBytes.Rent(8 * Large), large), Is.True);
    }

    [Test]
    public void Spares_DoNotOutliveAFullCollection()
    {
        var spares = ReturnSome();

        GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true);

        Assert.That(spares.Count(spare => spare.TryGetTarget(out _)), Is.Zero);
    }

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private static WeakReference<byte[]>[] ReturnSome()
    {
        byte[][] arrays = [.. Enumerable.Range(1, 6).Select(i => ValueBytes.Rent(16 * i * Large))];
        Array.ForEach(arrays, ValueBytes.Return);
        return [.. arrays.Select(array => new WeakReference<byte[]>(array))];
    }
}
