namespace DistCache.Tests.Architecture;

/// <summary>
/// Which folder may use which: dependencies point down, siblings are blind to each other. <c>Replication</c> and what stands on it reach
/// peers through <c>IPeerTransport</c> only, so that they run in the simulation; therefore <c>Wire</c> is for <c>Hosting</c> alone.
/// </summary>
internal static class LayerMap
{
    /// <summary>The folder of the files directly under src/DistCache: the public faces.</summary>
    public const string Root = "(root)";

    private static readonly string[] BelowSiblings = ["Diagnostics", "Peers", "Entries"];
    private static readonly string[] BelowReplication = ["Ring", "Membership", "Memory", .. BelowSiblings];
    private static readonly string[] BelowNear = ["Replication", .. BelowReplication];
    private static readonly string[] BelowHybrid = ["Near", .. BelowNear];
    private static readonly string[] BelowRoot = ["Hybrid", .. BelowHybrid];

    private static readonly Dictionary<string, string[]> MayUse = new()
    {
        ["Hosting"] = [Root, "Wire", .. BelowRoot],
        [Root] = BelowRoot,
        ["Hybrid"] = BelowHybrid,
        ["Near"] = BelowNear,
        ["Replication"] = BelowReplication,
        ["Ring"] = BelowSiblings,
        ["Membership"] = BelowSiblings,
        ["Memory"] = BelowSiblings,
        ["Wire"] = BelowSiblings,
        ["Diagnostics"] = ["Peers", "Entries"],
        ["Peers"] = ["Entries"],
        ["Entries"] = [],
    };

    private static readonly string[] ForeignNamespaces = ["Microsoft.Extensions.DependencyInjection", "Microsoft.AspNetCore.Builder"];

    /// <summary>
    /// Every use that the map forbids, with its remedy. A type in the namespace of a folder can be used only by naming that namespace, in
    /// a using or in full; those in namespace DistCache, the public ones, are in everybody's sight and are looked for by name.
    /// </summary>
    public static IEnumerable<string> FindForbiddenUses(IReadOnlyList<SourceFile> files)
    {
        var foldersOfTypes = files
            .Where(file => file.Namespace == "DistCache")
            .SelectMany(file => file.Types, (file, type) => (type.Name, file.Folder))
            .ToLookup(type => type.Name, type => type.Folder);
        return files.Where(file => MayUse.ContainsKey(file.Folder)).SelectMany(file => FindForbiddenUses(file, foldersOfTypes));
    }

    /// <summary>Files in a folder that the map does not know, or in another namespace than their folder says.</summary>
    public static IEnumerable<string> FindMisplaced(IReadOnlyList<SourceFile> files)
    {
        foreach (var file in files)
        {
            if (!MayUse.ContainsKey(file.Folder))
            {
                yield return $"{file.Path}: the map of the folders does not know {file.Folder}. Folders are nouns of the design, one level deep: "
                    + "put the file into one of them, or decide on a new one in LayerMap and in docs/architecture.md.";
                continue;
            }

            var internalNamespace = file.Folder == Root ? "DistCache" : $"DistCache.{file.Folder}";
            foreach (var (name, isPublic) in file.Types)
            {
                if (isPublic ? file.Namespace != "DistCache" && !ForeignNamespaces.Contains(file.Namespace) : file.Namespace != internalNamespace)
                {
                    yield return $"{file.Path}: {name} is in namespace {file.Namespace}; expected {(isPublic ? "DistCache, as of every public type" : internalNamespace)}.";
                }
            }
        }
    }

    private static IEnumerable<string> FindForbiddenUses(SourceFile file, ILookup<string, string> foldersOfTypes)
    {
        var allowed = MayUse[file.Folder];
        bool IsForbidden(string folder) => folder != file.Folder && !allowed.Contains(folder);

        for (var i = 0; i < file.Tokens.Count; i++)
        {
            var (text, line) = file.Tokens[i];
            if (IsNamespaceOfFolder(file.Tokens, i))
            {
                if (IsForbidden(text))
                {
                    yield return Describe(file, line, $"namespace DistCache.{text}", text, allowed);
                }
            }
            else if (foldersOfTypes.Contains(text) && !IsMember(file.Tokens, i) && foldersOfTypes[text].All(IsForbidden))
            {
                yield return Describe(file, line, text, foldersOfTypes[text].First(), allowed);
            }
            else if (text == "global" && i + 2 < file.Tokens.Count && file.Tokens[i + 1].Text == "using" && file.Tokens[i + 2].Text == "DistCache")
            {
                yield return $"{file.Path}({line}): a global using hides from every other file what it uses. Remedy: say it in the files that need it.";
            }
        }
    }

    /// <summary><c>DistCache.Ring</c> anywhere, or <c>Ring.</c> at the beginning of a name, which means the same inside DistCache.</summary>
    private static bool IsNamespaceOfFolder(IReadOnlyList<Token> tokens, int i)
    {
        if (!MayUse.ContainsKey(tokens[i].Text))
        {
            return false;
        }

        return i >= 2 && tokens[i - 1].Text == "."
            ? tokens[i - 2].Text == "DistCache"
            : i + 1 < tokens.Count && tokens[i + 1].Text == ".";
    }

    /// <summary>What stands behind a dot, unless a namespace stands before it; and a method, which may have the name of a type.</summary>
    private static bool IsMember(IReadOnlyList<Token> tokens, int i)
    {
        var (before, after) = (i > 0 ? tokens[i - 1].Text : "", i + 1 < tokens.Count ? tokens[i + 1].Text : "");
        return before == "."
            ? i >= 2 && tokens[i - 2].Text != "DistCache" && !IsNamespaceOfFolder(tokens, i - 2)
            : after == "(" && before is not ("new" or ":" or "[");
    }

    private static string Describe(SourceFile file, int line, string used, string folder, string[] allowed) =>
        $"{file.Path}({line}): {file.Folder} uses {used}, which stands in {folder}; it may use {(allowed.Length == 0 ? "no other folder" : string.Join(", ", allowed))}. "
        + "Remedy: pass the value in from above, or move what both need down to a folder that both may use; if it does I/O, put an interface into Peers and let Hosting compose; "
        + "if it is a member that only has the name of a type, give it a better one.";
}
