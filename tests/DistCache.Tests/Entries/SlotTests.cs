using System.Text;
using DistCache.Entries;

namespace DistCache.Tests.Entries;

internal sealed class SlotTests
{
    // The published check value, and others from an independent implementation (Python's binascii.crc_hqx).
    [TestCase("123456789", 0x31C3)]
    [TestCase("", 0x0000)]
    [TestCase("foo", 0xAF96)]
    [TestCase("hello", 0xC362)]
    [TestCase("foobar", 0xB025)]
    public void Crc16_KnownText_IsThePublishedChecksum(string text, int checksum) =>
        Assert.That(Crc16.Compute(Encoding.UTF8.GetBytes(text)), Is.EqualTo(checksum));

    [Test]
    public void Crc16_EveryByteValue_IsTheIndependentChecksum() =>
        Assert.That(Crc16.Compute([.. Enumerable.Range(0, 256).Select(i => (byte)i)]), Is.EqualTo(0x7E55));

    // Bit by bit, as the polynomial is defined.
    [Test]
    public void Crc16_OfAnyLength_IsTheRemainder()
    {
        var random = new Random(5);
        for (var length = 0; length <= 64; length++)
        {
            var bytes = new byte[length];
            random.NextBytes(bytes);
            var crc = 0;
            foreach (var b in bytes)
            {
                crc ^= b << 8;
                for (var bit = 0; bit < 8; bit++)
                {
                    crc = ((crc << 1) ^ ((crc & 0x8000) != 0 ? 0x1021 : 0)) & 0xFFFF;
                }
            }

            Assert.That(Crc16.Compute(bytes), Is.EqualTo(crc), $"{length} bytes");
        }
    }

    // As CLUSTER KEYSLOT answers.
    [TestCase("123456789", 12739)]
    [TestCase("", 0)]
    [TestCase("foo", 12182)]
    [TestCase("hello", 866)]
    [TestCase("somekey", 11058)]
    [TestCase("foo{hash_tag}", 2515)]
    public void Of_Key_IsTheSlotOfRedisCluster(string key, int slot) => Assert.That(SlotOf(key), Is.EqualTo(slot));

    // The examples of the Redis Cluster specification, "Hash tags".
    [TestCase("{user1000}.following", "user1000")]
    [TestCase("{user1000}.followers", "user1000")]
    [TestCase("foo{{bar}}zap", "{bar")]
    [TestCase("foo{bar}{zap}", "bar")]
    [TestCase("a{b}", "b")]
    [TestCase("}a{b}c", "b")]
    [TestCase("{ }", " ")]
    public void Of_KeyWithHashTag_IsTheSlotOfTheTag(string key, string tag)
    {
        Assert.That(SlotOf(key), Is.EqualTo(SlotOf(tag)));
        Assert.That(SlotOf(key), Is.EqualTo(Crc16.Compute(Encoding.UTF8.GetBytes(tag)) % Slot.Count));
    }

    [TestCase("foo{}{bar}", 8363, Description = "the first tag is empty: a later one does not count")]
    [TestCase("{}", 15257, Description = "nothing but an empty tag")]
    [TestCase("{}x", 10595)]
    [TestCase("foo{bar", 15278, Description = "unclosed")]
    [TestCase("{bar", 4015, Description = "unclosed")]
    [TestCase("foo}bar{", null, Description = "closed before it opens")]
    [TestCase("}{", null)]
    public void Of_KeyWithEmptyOrUnclosedBraces_HashesTheWholeKey(string key, int? slot)
    {
        var whole = Crc16.Compute(Encoding.UTF8.GetBytes(key)) % Slot.Count;
        Assert.That(SlotOf(key), Is.EqualTo(whole));
        Assert.That(slot ?? whole, Is.EqualTo(whole));
    }

    [TestCase(-1)]
    [TestCase(Slot.Count)]
    [TestCase(int.MaxValue)]
    public void New_NumberOutOfRange_IsRefused(int number) =>
        Assert.That(() => new Slot(number), Throws.InstanceOf<ArgumentOutOfRangeException>());

    [TestCase(0)]
    [TestCase(Slot.Count - 1)]
    public void New_NumberInRange_IsKept(int number) => Assert.That(new Slot(number).Number, Is.EqualTo(number));

    [Test]
    public void Of_ManyKeys_FillsEverySlotEvenly()
    {
        var counts = new int[Slot.Count];
        for (var i = 0; i < 100 * Slot.Count; i++)
        {
            counts[Slot.Of(Encoding.UTF8.GetBytes($"session:{i:x}")).Number]++;
        }

        // A hundred are expected in each; five standard deviations either way.
        Assert.That(counts, Is.All.InRange(50, 150));
    }

    private static int SlotOf(string key) => Slot.Of(Encoding.UTF8.GetBytes(key)).Number;
}
