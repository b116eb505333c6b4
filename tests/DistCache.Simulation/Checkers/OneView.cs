using DistCache.Membership;
using DistCache.Peers;

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
        var expected = running.ToDictionary(node => node.Identity.Name, node => node.Identity);
        HashSet<string>? table = null;
        foreach (var node in running)
        {
            var process = node.Process.Membership;
            var present = process.View.Members.Where(member => member.State is not (MemberState.Dead or MemberState.Left)).ToArray();
            if (present.Length != expected.Count || present.Any(member => !IsExpected(member, expected)))
            {
                return $"{node.Name} sees {process}, and {string.Join(' ', running.Select(other => other.Identity))} are running.";
            }

            var settled = process.Settled.ToHashSet(StringComparer.Ordinal);
            if (!(table ??= settled).SetEquals(settled))
            {
                return $"{node.Name} builds its table from {string.Join(' ', settled)}, another from {string.Join(' ', table)}.";
            }
        }

        return null;
    }

    private static bool IsExpected(Member member, Dictionary<NodeName, NodeIdentity> expected) =>
        member.State == MemberState.Alive && expected.GetValueOrDefault(member.Name) == member.Record.Identity;
}
