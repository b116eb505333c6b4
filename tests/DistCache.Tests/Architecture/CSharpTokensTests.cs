namespace DistCache.Tests.Architecture;

internal sealed class CSharpTokensTests
{
    [TestCase("a b_1 @class é", "a b_1 class é")]
    [TestCase("a.B<C>(d)", "a . B < C > ( d )")]
    [TestCase("a // b\nc /* d\n e */ f /// <see cref=\"G\"/>\nh", "a c f h")]
    [TestCase("a\n#pragma warning disable B\nc", "a c")]
    [TestCase("a 0x1F 1_000UL 1.5e3 b", "a b")]
    [TestCase("a[1..2]", "a [ . . ]")]
    [TestCase("'a' b '\\'' c '\"' d", "b c d")]
    [TestCase("\"a\" b \"\\\"c\" d \"\" e", "b d e")]
    [TestCase("@\"a\\\" b @\"c\"\"d\" e", "b e")]
    [TestCase("$\"a{b}c{{d}}e{f.G(\"h\")}i\" j", "b f . G ( ) j")]
    [TestCase("$\"{a switch { b => \"c\" }}\" d", "a switch { b = > } d")]
    [TestCase("$@\"a\"\"{b}\" c", "b c")]
    [TestCase("\"\"\"a \"b\" c\"\"\" d", "d")]
    [TestCase("$\"\"\"a{b}c\"\"\" d", "b d")]
    [TestCase("$$\"\"\"{a}{{b}}\"\"\" c", "b c")]
    public void Read_Source_GivesWordsAndSignsOnly(string source, string tokens) =>
        Assert.That(string.Join(' ', CSharpTokens.Read(source).Select(token => token.Text)), Is.EqualTo(tokens));

    [Test]
    public void Read_Lines_AreCounted()
    {
        var tokens = CSharpTokens.Read("a\n/*\n*/ b \"\"\"\n\n\"\"\" c");
        Assert.That(tokens, Is.EqualTo((Token[])[new("a", 1), new("b", 3), new("c", 5)]));
    }

    [TestCase("\"never closed")]
    [TestCase("/* never closed")]
    [TestCase("$\"{never closed")]
    [TestCase("'")]
    [TestCase("\"\"\"")]
    public void Read_Unfinished_Ends(string source) => Assert.That(() => CSharpTokens.Read(source), Throws.Nothing);
}
