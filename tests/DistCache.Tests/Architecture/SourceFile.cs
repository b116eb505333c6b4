namespace DistCache.Tests.Architecture;

/// <summary>A source of the library, and what is declared at its top level.</summary>
internal sealed class SourceFile
{
    private static readonly string[] Modifiers =
        ["public", "internal", "file", "sealed", "abstract", "static", "partial", "readonly", "unsafe", "ref"];

    /// <param name="path">Relative to the library, with '/': <c>Ring/SlotTable.cs</c>.</param>
    /// <param name="source">The text.</param>
    public SourceFile(string path, string source)
    {
        Path = path;
        Folder = path.Contains('/', StringComparison.Ordinal) ? path[..path.LastIndexOf('/')] : LayerMap.Root;
        Tokens = CSharpTokens.Read(source);
        Namespace = ReadNamespace();
        Types = [.. ReadTypes()];
    }

    public string Path { get; }

    public string Folder { get; }

    public IReadOnlyList<Token> Tokens { get; }

    public string Namespace { get; }

    /// <summary>Types at the top level; nested ones cannot be used without naming the outer one.</summary>
    public IReadOnlyList<(string Name, bool IsPublic)> Types { get; }

    public static IReadOnlyList<SourceFile> ReadLibrary() =>
    [
        .. Directory.EnumerateFiles(Repository.LibrarySources, "*.cs", SearchOption.AllDirectories)
            .Select(file => (File: file, Path: System.IO.Path.GetRelativePath(Repository.LibrarySources, file).Replace('\\', '/')))
            .Where(file => !file.Path.StartsWith("bin/", StringComparison.Ordinal) && !file.Path.StartsWith("obj/", StringComparison.Ordinal))
            .OrderBy(file => file.Path, StringComparer.Ordinal)
            .Select(file => new SourceFile(file.Path, File.ReadAllText(file.File))),
    ];

    private string ReadNamespace()
    {
        var start = Tokens.ToList().FindIndex(token => token.Text == "namespace");
        return start < 0 ? "" : string.Concat(Tokens.Skip(start + 1).TakeWhile(token => token.Text is not (";" or "{")).Select(token => token.Text));
    }

    private IEnumerable<(string Name, bool IsPublic)> ReadTypes()
    {
        var depth = 0;
        for (var i = 0; i + 1 < Tokens.Count; i++)
        {
            depth += Tokens[i].Text switch { "{" or "(" => 1, "}" or ")" => -1, _ => 0 };
            if (depth == 0 && NameDeclaredAt(i) is { } name)
            {
                yield return (name, ModifiersBefore(i).Contains("public"));
            }
        }
    }

    private string? NameDeclaredAt(int i)
    {
        var next = Tokens[i + 1];
        return Tokens[i].Text switch
        {
            // "record struct" and "record class" are found at their second word; "where T : class" has no word behind it.
            "class" or "struct" or "interface" or "enum" when next.IsWord => next.Text,
            "record" when next.IsWord && next.Text is not ("struct" or "class") => next.Text,
            "delegate" when next.IsWord => Tokens.Skip(i).TakeWhile(token => token.Text != "(").Last(token => token.IsWord).Text,
            _ => null,
        };
    }

    private IEnumerable<string> ModifiersBefore(int i) =>
        Tokens.Take(i).Reverse().Select(token => token.Text).TakeWhile(text => Modifiers.Contains(text) || text == "record");
}
