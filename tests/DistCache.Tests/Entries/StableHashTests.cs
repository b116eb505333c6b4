using System.Numerics;
using System.Text;
using DistCache.Entries;

namespace DistCache.Tests.Entries;

/// <summary>
/// Pinned from an independent implementation (FNV-1a, then the 64-bit finalizer of MurmurHash3): a change would place every key anew
/// and make every digest differ between two releases.
/// </summary>
internal sealed class StableHashTests
{
    [TestCase("", 0xEFD01F60BA992926UL)]
    [TestCase("a", 0x82A2A958A9BECE5BUL)]
    [TestCase("foobar", 0x2C22194922D1672BUL)]
    [TestCase("10.0.0.5:7600#0", 0x30AC2588FCE1D850UL)]
    [TestCase("größe", 0x2EB895F56869EAA1UL)]
    public void Compute_KnownText_IsPinned(string text, ulong hash)
    {
        Assert.That(StableHash.Compute(text), Is.EqualTo(hash));
        Assert.That(StableHash.Compute(Encoding.UTF8.GetBytes(text)), Is.EqualTo(hash));
    }

    [Test]
    public void Compute_Continued_IsPinnedAndKnowsWhereTheFirstPartEnded()
    {
        Assert.That(StableHash.Compute("bar"u8, StableHash.Compute("foo")), Is.EqualTo(0x98E8425C5343A67A));
        Assert.That(StableHash.Compute("ar"u8, StableHash.Compute("foob")), Is.Not.EqualTo(0x98E8425C5343A67A));
    }

    [TestCase(0UL, 0UL)]
    [TestCase(1UL, 0xB456BCFC34C2CB2C)]
    public void Mix_KnownNumber_IsPinned(ulong number, ulong mixed) => Assert.That(StableHash.Mix(number), Is.EqualTo(mixed));

    [Test]
    public void Compute_TextsThatDifferInTheLastDigit_DifferInHalfOfTheBits()
    {
        var differing = Enumerable.Range(0, 1_000)
            .Average(i => BitOperations.PopCount(StableHash.Compute($"10.0.0.1:7600#{i}") ^ StableHash.Compute($"10.0.0.1:7600#{i + 1}")));
        Assert.That(differing, Is.EqualTo(32).Within(1));
    }
}
