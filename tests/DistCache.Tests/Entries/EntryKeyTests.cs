using System.Text;
using DistCache.Entries;

namespace DistCache.Tests.Entries;

internal sealed class EntryKeyTests
{
    [TestCase("")]
    [TestCase("a")]
    [TestCase(" Kept As It Is ")]
    [TestCase("\0\u0001\uFFFF")]
    [TestCase("größe 鍵 🔑")]
    public void Encode_WellFormedKey_IsItsUtf8(string key) =>
        Assert.That(Encode(key), Is.EqualTo(Encoding.UTF8.GetBytes(key)));

    [Test]
    public void Encode_KeyOfAnyLengthWithAnyCharacterAnywhere_IsItsUtf8([Values('\u007F', '\u0080', '\u00FF', '\u0100', '\u0161', '\u8080')] char other)
    {
        for (var length = 1; length <= 40; length++)
        {
            for (var place = 0; place < length; place++)
            {
                var text = Enumerable.Range(0, length).Select(i => (char)('0' + i)).ToArray();
                text[place] = other;
                Assert.That(Encode(new string(text)), Is.EqualTo(Encoding.UTF8.GetBytes(text)), $"character {place} of {length}");
            }
        }
    }

    [TestCase("e\u0301", "\u00E9", Description = "canonically equal, ordinally not")]
    [TestCase("key", "KEY")]
    [TestCase("key", "key ")]
    [TestCase("key", "key\0")]
    public void Encode_KeysThatDifferOrdinally_StayDifferent(string one, string other) =>
        Assert.That(Encode(one), Is.Not.EqualTo(Encode(other)));

    [TestCase(EntryKey.MaximumBytes - 1)]
    [TestCase(EntryKey.MaximumBytes)]
    public void Encode_KeyUpToTheLimit_IsTaken(int length) =>
        Assert.That(Encode(new string('k', length)), Has.Length.EqualTo(length));

    [Test]
    public void Encode_KeyOneByteOverTheLimit_IsRefusedWithBothNumbers() =>
        Assert.That(
            () => Encode(new string('k', EntryKey.MaximumBytes + 1)),
            Throws.ArgumentException.With.Message.Contains("4097 bytes").And.Message.Contains("at most 4096")
                .And.Property("ParamName").EqualTo("key"));

    [TestCase("é", 2048, true)]
    [TestCase("é", 2049, false)]
    [TestCase("🔑", 1024, true)]
    [TestCase("🔑", 1025, false)]
    public void Encode_ManyByteCharacters_AreCountedInBytes(string character, int count, bool fits)
    {
        var key = string.Concat(Enumerable.Repeat(character, count));
        Assert.That(() => Encode(key), fits ? Throws.Nothing : Throws.ArgumentException);
    }

    [Test]
    public void Encode_CharacterAcrossTheLimit_IsRefusedAndNotCut() =>
        Assert.That(() => Encode(new string('k', EntryKey.MaximumBytes - 1) + "é"), Throws.ArgumentException);

    [Test]
    public void Encode_LowerLimitOfTheCache_IsWhatCounts()
    {
        Assert.That(Encode("1234567890", maximumBytes: 10), Has.Length.EqualTo(10));
        Assert.That(
            () => Encode("12345678901", maximumBytes: 10),
            Throws.ArgumentException.With.Message.Contains("11 bytes").And.Message.Contains("at most 10"));
    }

    // Raw code units: an attribute would store these as replacement characters.
    [TestCase(0xD83D, TestName = "Encode_HighSurrogateAlone_IsRefused")]
    [TestCase(0xDD11, TestName = "Encode_LowSurrogateAlone_IsRefused")]
    public void Encode_LoneSurrogate_IsRefused(int surrogate)
    {
        foreach (var key in new[] { $"{(char)surrogate}", $"a{(char)surrogate}", $"{(char)surrogate}a" })
        {
            Assert.That(
                () => Encode(key), Throws.ArgumentException.With.Message.Contains("well-formed").And.Property("ParamName").EqualTo("key"));
        }
    }

    [Test]
    public void Encode_SurrogatesTheWrongWayRound_IsRefused() =>
        Assert.That(() => Encode($"{(char)0xDD11}{(char)0xD83D}"), Throws.ArgumentException);

    private static byte[] Encode(string key, int maximumBytes = EntryKey.MaximumBytes) =>
        EntryKey.Encode(key, new byte[EntryKey.MaximumBytes], maximumBytes).ToArray();
}
