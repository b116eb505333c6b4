using DistCache.Peers;

namespace DistCache.Tests.Peers;

internal sealed class NodeNameTests
{
    [TestCase("10.0.0.5:7600")]
    [TestCase("shop-0.shop.default.svc")]
    [TestCase("Node With Spaces #1")]
    [TestCase("größe 🔑")]
    public void TryParse_Name_IsKeptAsItIs(string value)
    {
        Assert.That(NodeName.TryParse(value, out var name), Is.True);
        Assert.That(name.ToString(), Is.EqualTo(value));
    }

    [TestCase(null)]
    [TestCase("")]
    [TestCase("a\nb")]
    [TestCase("\0")]
    [TestCase("a\u001F")]
    [TestCase("a\u007F")]
    [TestCase("a\u0085b")]
    public void TryParse_EmptyOrWithControlCharacters_IsRefused(string? value) =>
        Assert.That(NodeName.TryParse(value, out _), Is.False);

    [TestCase(NodeName.MaximumBytes, true)]
    [TestCase(NodeName.MaximumBytes + 1, false)]
    public void TryParse_Length_IsCountedInBytes(int bytes, bool isValid)
    {
        Assert.That(NodeName.TryParse(new string('n', bytes), out _), Is.EqualTo(isValid));
        Assert.That(NodeName.TryParse("n" + new string('é', bytes / 2) + new string('n', bytes % 2 == 0 ? 1 : 0), out _), Is.EqualTo(isValid));
    }

    // It would reach a peer as another name than its own.
    [TestCase(0xD83D)]
    [TestCase(0xDD11)]
    public void TryParse_LoneSurrogate_IsRefused(int surrogate) =>
        Assert.That(NodeName.TryParse($"node{(char)surrogate}", out _), Is.False);

    [Test]
    public void Parse_BadName_SaysWhatIsAllowed() =>
        Assert.That(() => NodeName.Parse(""), Throws.TypeOf<FormatException>().With.Message.Contains("1 to 255 bytes"));

    [TestCase("A", "a")]
    [TestCase("node-10", "node-2")]
    [TestCase("a", "ä")]
    [TestCase("Z", "a")]
    public void CompareTo_IsOrdinal(string lower, string higher)
    {
        Assert.That(NodeName.Parse(lower).CompareTo(NodeName.Parse(higher)), Is.Negative);
        Assert.That(NodeName.Parse(higher).CompareTo(NodeName.Parse(lower)), Is.Positive);
    }

    [Test]
    public void Equals_SameText_IsTheSameName()
    {
        var name = NodeName.Parse("node-a");
        Assert.That(name, Is.EqualTo(NodeName.Parse(string.Concat("node", "-a"))));
        Assert.That(name, Is.Not.EqualTo(NodeName.Parse("node-A")));
        Assert.That(default(NodeName).ToString(), Is.Empty);
    }

    // Pinned: versions of one clock are ordered by it on every node.
    [Test]
    public void Origin_OfALife_IsPinnedAndDiffersFromItsOtherLives()
    {
        var name = NodeName.Parse("10.0.0.5:7600");
        Assert.That(new NodeIdentity(name, 1_766_000_000_000).Origin, Is.EqualTo(0x4F6D991E));
        Assert.That(new NodeIdentity(name, 1_766_000_000_001).Origin, Is.Not.EqualTo(0x4F6D991E));
        Assert.That(new NodeIdentity(NodeName.Parse("10.0.0.6:7600"), 1_766_000_000_000).Origin, Is.Not.EqualTo(0x4F6D991E));
    }
}
