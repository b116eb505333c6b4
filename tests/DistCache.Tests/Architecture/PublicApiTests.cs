using System.Reflection;

namespace DistCache.Tests.Architecture;

/// <summary>A new door is a decision: the public face is written down in PublicApi.txt.</summary>
internal sealed class PublicApiTests
{
    private const string UpdateVariable = "DISTCACHE_UPDATE_PUBLIC_API";
    private const int MaximumPublicTypes = 25;

    private static readonly Assembly Library = typeof(DistCacheOptions).Assembly;

    private static string ApprovedFile => Path.Combine(Repository.ArchitectureTests, "PublicApi.txt");

    [Test]
    public void Library_PublicFace_IsTheOneThatIsWrittenDown()
    {
        var actual = PublicApiText.Write(PublicApiText.PublicTypes(Library));
        if (Environment.GetEnvironmentVariable(UpdateVariable) == "1")
        {
            File.WriteAllText(ApprovedFile, actual);
        }

        var approved = File.ReadAllText(ApprovedFile).ReplaceLineEndings("\n");
        var added = actual.Split('\n').Except(approved.Split('\n'));
        var removed = approved.Split('\n').Except(actual.Split('\n'));
        Assert.That(
            actual,
            Is.EqualTo(approved),
            $"The public face is another than tests/DistCache.Tests/Architecture/PublicApi.txt says.\nadded:\n{string.Join('\n', added)}\nremoved:\n{string.Join('\n', removed)}\n"
                + $"If that is meant, run this test once with {UpdateVariable}=1, look at the difference and commit it; if not, make it internal.");
    }

    [Test]
    public void Library_PublicTypes_AreFew() =>
        Assert.That(
            PublicApiText.PublicTypes(Library), Has.Count.InRange(1, MaximumPublicTypes), "Few doors make a library feel simple: which of them can go?");

    /// <summary>All that the text can tell, so that no kind of change goes unseen.</summary>
    [Test]
    public void Write_TypesOfEveryKind_TellsAllThatACallerSees()
    {
        var types = PublicApiText.PublicTypes(typeof(Samples.Shape).Assembly).Where(type => type.Namespace == typeof(Samples.Shape).Namespace);
        Assert.That(PublicApiText.Write(types).TrimEnd().Split('\n'), Is.EqualTo((string[])
        [
            "enum DistCache.Tests.Architecture.Samples.Color",
            "    Blue = 4",
            "    Red = 0",
            "static class DistCache.Tests.Architecture.Samples.Extensions",
            "    static string? Name(this Shape shape, bool isLong = true)",
            "abstract class DistCache.Tests.Architecture.Samples.Shape : IDisposable",
            "    Color? Fill { get; init; }",
            "    abstract bool TryDraw(in long scale, out string? text, string[]? names = default)",
            "    const int Limit = 3",
            "    event Action<Shape, string?>? Drawn",
            "    override string ToString()",
            "    protected Shape(int size)",
            "    static IReadOnlyList<string?> All { get; }",
            "    string? Title { get; set; }",
            "    virtual Task<T> MapAsync<T>(Func<Shape, T> map, CancellationToken cancellationToken = default)",
            "    void Dispose()",
        ]));
    }
}
