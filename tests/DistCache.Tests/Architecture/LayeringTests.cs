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

    // What the map forbids, in every form in which C# lets one say it.
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { Tier _tier; }", "Memory", TestName = "Field of a sibling's type")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { object B() => new List<Tier>(); }", "Memory", TestName = "Type argument")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { string B() => $\"{nameof(Tier)}\"; }", "Memory", TestName = "Hole of a string")]
    [TestCase("Ring/A.cs", "using DistCache.Memory; namespace DistCache.Ring; class A;", "Memory", TestName = "Using")]
    [TestCase("Ring/A.cs", "using static DistCache.Memory.Tier; namespace DistCache.Ring; class A;", "Memory", TestName = "Static using")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A : global::DistCache.Memory.Tier;", "Memory", TestName = "Full name")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A : Memory.Tier;", "Memory", TestName = "Relative namespace")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { object B = Policy.Lru; }", "Memory", TestName = "Public type of a sibling")]
    [TestCase("Entries/A.cs", "namespace DistCache.Entries; class A { Name _name; }", "Peers", TestName = "Upwards from the bottom")]
    [TestCase("Peers/A.cs", "using DistCache.Diagnostics; namespace DistCache.Peers; class A;", "Diagnostics", TestName = "Values that log")]
    [TestCase("Replication/A.cs", "namespace DistCache.Replication; class A(Server server);", "Wire", TestName = "Past the seam")]
    [TestCase("Memory/A.cs", "namespace DistCache.Memory; class A { Options _options; }", "(root)", TestName = "The public face from below")]
    [TestCase("A.cs", "namespace DistCache; class A { Start _start; }", "Hosting", TestName = "Hosting from the root")]
    public void FindForbiddenUses_OneForbiddenUse_IsReportedWithFolderAndRemedy(string path, string source, string folder)
    {
        var found = LayerMap.FindForbiddenUses([.. Library(), new SourceFile(path, source)]).ToList();
        Assert.That(found, Is.Not.Empty);
        Assert.That(found, Has.All.StartsWith($"{path}(1): ").And.All.Contain(folder).And.All.Contain("Remedy:"));
    }

    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { Name _name; Value _value; }", TestName = "Downwards")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; /// <see cref=\"Tier\"/>\nclass A; // Tier", TestName = "Comment")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { string B = \"Tier\"; }", TestName = "String")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { int B(C c) => c.Tier + c.Memory.Length; }", TestName = "Member of that name")]
    [TestCase("Ring/A.cs", "namespace DistCache.Ring; class A { Memory<byte> _memory; }", TestName = "The framework's Memory")]
    [TestCase("Hosting/A.cs", "using DistCache.Wire; namespace DistCache.Hosting; class A { Tier _tier; Server _server; Options _options; }", TestName = "Hosting")]
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
        new("Memory/Policy.cs", "namespace DistCache; public enum Policy { Lru }"),
        new("Diagnostics/Log.cs", "namespace DistCache.Diagnostics; internal static partial class Log { }"),
        new("Wire/Server.cs", "namespace DistCache.Wire; internal delegate void Server(int port);"),
        new("Hosting/Start.cs", "namespace DistCache.Hosting; internal interface Start { }"),
        new("Options.cs", "namespace DistCache; public sealed record Options;"),
    ];
}
