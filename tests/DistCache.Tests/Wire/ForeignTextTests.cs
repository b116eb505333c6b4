using DistCache.Tests.Membership;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>What a stranger writes cannot forge a line of the log.</summary>
internal sealed class ForeignTextTests
{
    [TestCase("plain, ä and 漢", "plain, ä and 漢")]
    [TestCase("one\r\ntwo\t\u001b[31m", "one??two??[31m")]
    [TestCase("line\u2028paragraph\u2029next\u0085turn\u202e", "line?paragraph?next?turn?")]
    public void Clean_WhatEndsALine_IsReplaced(string text, string expected) => Assert.That(ForeignText.Clean(text), Is.EqualTo(expected));

    [TestCase(256, 256)]
    [TestCase(257, 257)]
    [TestCase(30_000, 257)]
    public void Clean_LongText_IsCut(int length, int expected) => Assert.That(ForeignText.Clean(new string('x', length)), Has.Length.EqualTo(expected));

    [Test]
    public async Task ClusterName_WithALineBreak_StaysOnOneLineOfTheLog()
    {
        var log = new LineLogger();
        await using var node = await TestNode.StartAsync("node", logger: log);
        using var lane = new RawLane(node.Address, RawLane.Frame(RawLane.Hello("x\nwarn: forged")));

        var end = await lane.ReadStatusAsync();

        Assert.That(end.Message, Does.Contain("x?warn: forged"));
        Assert.That(log.Lines, Has.All.Not.Contain("\n").And.Some.Contain("x?warn: forged"));
    }
}
