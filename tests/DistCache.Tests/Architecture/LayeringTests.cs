namespace DistCache.Tests.Architecture;

internal sealed class LayeringTests
{
    [Test]
    public void Library_Folders_UseOnlyWhatTheMapAllows() =>
        Assert.That(LayerMap.FindForbiddenUses(SourceFile.ReadLibrary()), Is.Empty);

    [Test]
    public void Library_Files_StandWhereTheirNamespaceSays() =>
        Assert.That(LayerMap.FindMisplaced(SourceFile.ReadLibrary()), Is.Empty);

    [Test]
    public void Library_Sources_AreFoundWithTheirTypes()
    {
        var types = SourceFile.ReadLibrary().SelectMany(file => file.Types, (file, type) => (file.Folder, type.Name, type.IsPublic)).ToList();
        Assert.That(types, Does.Contain(("Ring", "SlotTable", false)).And.Contain(("Entries", "EntryVersion", false))
            .And.Contain(("Peers", "WriteAck", true)).And.Contain((LayerMap.Root, "DistCacheOptions", true)));
    }

    [Test]
    public void Library_Project_HasNoUsingsOfItsOwn() =>
        Assert.That(
            File.ReadAllText(Path.Combine(Repository.LibrarySources, "DistCache.csproj")),
            Does.Not.Contain("<Using "), "A using for all files hides from the map what each of them uses: say it in the files that need it.");

    // What the map forbids, in every form in which C# lets one say it.
    [TestCase("Ring/A.cs", "using DistCache.Memory; namespace DistCache.Ring; class A { Tier _tier; }", "Memory", TestName = "Using")]
    [TestCase("Ring/A.cs", "using static DistCache.Memory.Tier; namespace DistCache.Ring; class A;", "Memory", TestName = "Static using")]
    [TestCase("Ring/A.cs", "using T = DistCache.Memory.Tier; namespace DistCache.Ring; class A;", "Memory", TestName = "Alias")]
    [TestCase("Ring/A.cs", "global using DistCache.Peers; namespace DistCache.Ring; class A;", "global", TestName = "Global using")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A : global::DistCache.Memory.Tier;", "Memory", TestName = "Full name")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A : Memory.Tier;", "Memory", TestName = "Relative namespace")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { Policy _policy; }", "Memory", TestName = "Field of a public type")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { object B = Policy.Lru; }", "Memory", TestName = "Value of a public type")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { object B() => new List<Policy>(); }", "Memory", TestName = "Type argument")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { object B() => new Policy(); }", "Memory", TestName = "New")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A() : Policy(1);", "Memory", TestName = "Base")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { object B = DistCache.Policy.Lru; }", "Memory", TestName = "Full name of a public type")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { string B() => $\"{nameof(Policy)}\"; }", "Memory", TestName = "Hole of a string")]
    [TestCase("Entries/A.cs", "using DistCache.Peers; namespace DistCache.Entries; class A { Name _name; }", "Peers", TestName = "Upwards from the bottom")]
    [TestCase("Peers/A.cs", "using DistCache.Diagnostics; namespace DistCache.Peers; class A;", "Diagnostics", TestName = "Values that log")]
    [TestCase("Replication/A.cs", "using DistCache.Wire; namespace DistCache.Replication; class A(Server server);", "Wire", TestName = "Past the seam")]
    [TestCase("Memory/A.cs", "namespace DistCache.Memory; class A { Options _options; }", "(root)", TestName = "The public face from below")]
    [TestCase("A.cs", "using DistCache.Hosting; namespace DistCache; class A { Start _start; }", "Hosting", TestName = "Hosting from the root")]
    public void FindForbiddenUses_OneForbiddenUse_IsReportedWithFolderAndRemedy(string path, string source, string named)
    {
        var found = LayerMap.FindForbiddenUses([.. Library(), new SourceFile(path, source)]).ToList();
        Assert.That(found, Is.Not.Empty);
        Assert.That(found, Has.All.StartsWith($"{path}(1): ").And.All.Contain(named).And.All.Contain("Remedy:"));
    }

    [TestCase("Ring/A.cs", "using DistCache.Peers; using DistCache.Entries; namespace DistCache.Ring; class A { Name _name; Value _value; }", TestName = "Downwards")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; /// <see cref=\"Policy\"/>\nclass A; // Policy", TestName = "Comment")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { string B = \"Policy\"; }", TestName = "String")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { int B(C c) => c.Policy + c.Memory.Length; }", TestName = "Member of that name")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { int Policy(int b) => b + Policy(1); }", TestName = "Method of that name")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { class Tier; Memory<byte> _memory; }", TestName = "Names of types out of sight")]
    [TestCase("Hosting/A.cs", "using DistCache.Wire; namespace DistCache.Hosting; class A { Policy _policy; Server _server; Options _options; }", TestName = "Hosting")]
    public void FindForbiddenUses_AllowedUse_IsNotReported(string path, string source) =>
        Assert.That(LayerMap.FindForbiddenUses([.. Library(), new SourceFile(path, source)]), Is.Empty);

    [TestCase("Utils/A.cs", "namespace DistCache.Utils; internal class A;", TestName = "Unknown folder")]
    [TestCase("Ring/Points/A.cs", "namespace DistCache.Ring; internal class A;", TestName = "Folder in a folder")]
    [TestCase("Ring/A.cs", "namespace DistCache.Entries; internal class A;", TestName = "Namespace of another folder")]
    [TestCase("Ring/A.cs", "namespace DistCache; internal class A;", TestName = "Internal type in the public namespace")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; public class A;", TestName = "Public type in an internal namespace")]
    public void FindMisplaced_FileInTheWrongPlace_IsReported(string path, string source) =>
        Assert.That(LayerMap.FindMisplaced([new SourceFile(path, source)]).ToList(), Has.Count.EqualTo(1).And.All.StartsWith(path));

    private static IEnumerable<SourceFile> Library() =>
    [
        new("Entries/Value.cs", "namespace DistCache.Entries; internal readonly record struct Value(int Number);"),
        new("Peers/Name.cs", "namespace DistCache.Peers; internal readonly record struct Name;"),
        new("Memory/Tier.cs", "namespace DistCache.Memory; internal sealed class Tier { }"),
        new("Memory/Policy.cs", "namespace DistCache; public record Policy(int Number);"),
        new("Diagnostics/Log.cs", "namespace DistCache.Diagnostics; internal static partial class Log { }"),
        new("Wire/Server.cs", "namespace DistCache.Wire; internal delegate void Server(int port);"),
        new("Hosting/Start.cs", "namespace DistCache.Hosting; internal interface Start { }"),
        new("Options.cs", "namespace DistCache; public sealed record Options;"),
    ];
}
