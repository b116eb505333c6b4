using System.Globalization;

namespace DistCache.Tests.Memory;

/// <summary>How the random tests of the tier begin, and how long they last: DISTCACHE_SEED=n repeats one, DISTCACHE_ROUNDS=n makes it n times as long.</summary>
internal static class RandomRun
{
    public static int Rounds => Number("DISTCACHE_ROUNDS") ?? 1;

    /// <summary>Prints it.</summary>
    public static int Seed()
    {
        var seed = Number("DISTCACHE_SEED") ?? TestContext.CurrentContext.Random.Next();
        TestContext.Out.WriteLine($"seed {seed}");
        return seed;
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var number) ? number : null;
}
