using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>Where keys stand while the index grows and shrinks by one bucket at a time.</summary>
internal sealed class LinearHashTests
{
    private const int Steps = 300;

    [TestCase(64)]
    [TestCase(91)]
    [TestCase(127)]
    public void Split_MovesKeysFromItsSourceToItsTargetOnly(int baseBuckets)
    {
        var hashes = Hashes(2_000);
        var layout = new LinearHash(baseBuckets, 0, 0);
        for (var step = 0; step < Steps; step++)
        {
            var next = layout.Split(out var source, out var target);
            Assert.That((target, next.BucketCount), Is.EqualTo((layout.BucketCount, layout.BucketCount + 1)));
            foreach (var hash in hashes)
            {
                var (before, after) = (layout.BucketOf(hash), next.BucketOf(hash));
                Assert.That(before == after || (before == source && after == target), $"{before} to {after}");
            }

            Assert.That(next.Join(out var joined, out var kept), Is.EqualTo(layout));
            Assert.That((joined, kept), Is.EqualTo((target, source)));
            layout = next;
        }
    }

    [Test]
    public void BucketAt_NamesTheBucketOfEveryKeyInItsInterval()
    {
        var layout = new LinearHash(64, 0, 0);
        for (var step = 0; step < Steps; step++)
        {
            layout = layout.Split(out _, out _);
        }

        foreach (var hash in Hashes(5_000))
        {
            var position = LinearHash.PositionOf(hash);
            var baseBucket = HashBits.BaseBucket(hash, 64);
            Assert.That(layout.BucketAt(baseBucket, position, out var end), Is.EqualTo(layout.BucketOf(hash)));
            Assert.That(end, Is.GreaterThan(position));
            Assert.That(layout.BucketAt(baseBucket, (uint)(end - 1), out var sameEnd), Is.EqualTo(layout.BucketOf(hash)), "its last position");
            Assert.That(sameEnd, Is.EqualTo(end));
        }
    }

    private static ulong[] Hashes(int count)
    {
        var hash = new KeyHash(seed: 5);
        return [.. Enumerable.Range(0, count).Select(i => hash.Compute(TierFace.Key($"key{i}")))];
    }
}
