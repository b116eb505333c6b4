namespace DistCache.Simulation.Checkers;

/// <summary>After quiet, every running node sees all running ones alive, nobody else, and counts the same of them for the table.</summary>
internal sealed class OneView : IChecker
{
    public void CheckQuiet(Simulation simulation) =>
        Assert.That(Difference(simulation), Is.Null, () => simulation.Describe());

    /// <summary>What differs, in words; null if nothing does.</summary>
    public static string? Difference(Simulation simulation)
    {
        var running = simulation.RunningNodes.ToArray();
        var expected = running.Select(node => node.Name).ToHashSet(StringComparer.Ordinal);
        HashSet<string>? table = null;
        foreach (var node in running)
        {
            var process = node.Process.Membership;
            if (!expected.SetEquals(process.Live) || process.View.Members.Any(member => member.State is MemberState.Suspect or MemberState.Leaving))
            {
                return $"{node.Name} sees {process}, and {string.Join(' ', expected)} are running.";
            }

            if (running.Any(other => process.View.Find(other.Identity.Name)!.Record.Identity != other.Identity))
            {
                return $"{node.Name} takes somebody's past for the present.";
            }

            var settled = process.Settled.ToHashSet(StringComparer.Ordinal);
            if (!(table ??= settled).SetEquals(settled))
            {
                return $"{node.Name} builds its table from {string.Join(' ', settled)}, another from {string.Join(' ', table)}.";
            }
        }

        return null;
    }
}
