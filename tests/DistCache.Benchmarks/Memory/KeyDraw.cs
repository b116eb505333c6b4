namespace DistCache.Benchmarks.Memory;

/// <summary>Which keys are asked for, and how often.</summary>
internal static class KeyDraw
{
    /// <summary>"Zipf": skew 0.99, popular keys anywhere among the entries; "uniform": each as likely as any other.</summary>
    public static Func<Random, int> Of(string mix, int entries)
    {
        if (mix == "uniform")
        {
            return random => random.Next(entries);
        }

        var byRank = Enumerable.Range(0, entries).ToArray();
        new Random(1).Shuffle(byRank);
        var zipf = new Zipf(entries, 0.99);
        return random => byRank[zipf.Next(random)];
    }

    public static int[] Order(int operations, Func<Random, int> draw, Random random) => [.. Enumerable.Range(0, operations).Select(_ => draw(random))];
}
