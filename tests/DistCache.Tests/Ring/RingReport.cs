using System.Diagnostics;
using DistCache.Ring;

namespace DistCache.Tests.Ring;

/// <summary>
/// Prints the numbers of docs/decisions/0003-bounded-loads.md:
/// <c>dotnet test tests/DistCache.Tests -c Release --filter "FullyQualifiedName~RingReport" --logger "console;verbosity=detailed"</c>.
/// </summary>
[Explicit("prints numbers, checks nothing")]
internal sealed class RingReport
{
    [TestCase("none", 1)]
    [TestCase("none", 2)]
    [TestCase("three equal", 1)]
    [TestCase("three equal", 2)]
    [TestCase("60 : 20 : 20", 1)]
    public void PrintBalanceAndMoves(string zones, int replicaCount)
    {
        TestContext.Out.WriteLine($"zones {zones}, {replicaCount} replicas; three kinds of names, {NodeSets.SetCount} sets each");
        TestContext.Out.WriteLine("nodes  primaries  copies  primaries moved (mean, worst)  copies moved (mean, worst)");
        foreach (var count in (int[])[3, 5, 10, 30, 100, 255])
        {
            var sets = Enum.GetValues<NodeSets.Kind>().SelectMany(kind => Enumerable.Range(0, NodeSets.SetCount), (kind, set) =>
            {
                var nodes = NodeSets.Build(kind, set, count + 1, i => ZoneOf(zones, i));
                var before = SlotTable.Build(nodes[..^1], replicaCount);
                var after = SlotTable.Build(nodes, replicaCount);
                return (
                    Primaries: TableFacts.PrimaryImbalance(before),
                    Copies: TableFacts.CopyImbalance(before),
                    PrimariesMoved: TableFacts.PrimariesMoved(before, after),
                    CopiesMoved: TableFacts.CopiesMoved(before, after));
            }).ToList();
            TestContext.Out.WriteLine(
                $"{count,5}  {sets.Max(s => s.Primaries),9:f3}  {sets.Max(s => s.Copies),6:f3}"
                + $"  {sets.Average(s => s.PrimariesMoved),21:f3}, {sets.Max(s => s.PrimariesMoved):f3}"
                + $"  {sets.Average(s => s.CopiesMoved),18:f3}, {sets.Max(s => s.CopiesMoved):f3}");
        }
    }

    [Test]
    public void PrintTimeOfABuild()
    {
        foreach (var count in (int[])[3, 10, 30, 100, 256])
        {
            var nodes = NodeSets.Build(NodeSets.Kind.Pods, 0, count);
            var times = Enumerable.Range(0, 50).Select(_ =>
            {
                var start = Stopwatch.GetTimestamp();
                SlotTable.Build(nodes, replicaCount: 1);
                return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }).ToList();
            TestContext.Out.WriteLine($"{count,5} nodes: first {times[0]:f2} ms, median {times.Order().ElementAt(times.Count / 2):f2} ms");
        }
    }

    private static string ZoneOf(string zones, int index) => zones switch
    {
        "none" => "",
        "three equal" => $"zone-{index % 3}",
        _ => (index % 5) switch { 0 => "b", 1 => "c", _ => "a" },
    };
}
