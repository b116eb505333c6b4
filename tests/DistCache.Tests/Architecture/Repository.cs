namespace DistCache.Tests.Architecture;

/// <summary>Where the sources are: found from the test's own directory upwards, since compilers map paths away.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    public static string LibrarySources => Path.Combine(Root, "src", "DistCache");

    public static string ArchitectureTests => Path.Combine(Root, "tests", "DistCache.Tests", "Architecture");

    private static string FindRoot()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "DistCache.sln")))
            {
                return directory.FullName;
            }
        }

        throw new DirectoryNotFoundException($"No directory above {AppContext.BaseDirectory} has DistCache.sln in it.");
    }
}
