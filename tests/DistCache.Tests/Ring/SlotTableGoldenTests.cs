using DistCache.Peers;
using DistCache.Ring;

namespace DistCache.Tests.Ring;

/// <summary>
/// Tables of clusters as they run, worked out by an independent implementation of the rules. A change here places keys anew: during a
/// rolling upgrade every request then meets a node of another table, and after it a good part of the data moves. If that is meant,
/// say so in docs/CHANGELOG.md.
/// </summary>
internal sealed class SlotTableGoldenTests
{
    private static readonly TestCaseData[] Tables =
    [
        new(3, 1, "10.0.0.{0}:7600", "", 0x8BE744C6B1975ADFUL, (string[])["1 2", "1 2", "1 3", "2 3", "1 2"]) { TestName = "ThreeAddresses" },
        new(10, 2, "shop-{0}", "123", 0x7FEEA941DD913FB4UL, (string[])["1 2 9", "1 2 9", "3 8 4", "5 9 7", "1 2 9"]) { TestName = "TenPodsInThreeZones" },
        new(20, 1, "shop-{0}", "aaabc", 0xD42A8EA6AF2820A7UL, (string[])["15 13", "15 13", "17 3", "13 5", "15 1"]) { TestName = "TwentyPodsInUnequalZones" },
        new(100, 1, "cart-{0}", "", 0x8148A5F4EA57BE3EUL, (string[])["3 44", "46 19", "84 96", "90 65", "6 57"]) { TestName = "HundredPods" },
    ];

    [TestCaseSource(nameof(Tables))]
    public void Build_KnownCluster_IsTheTableOfEveryRelease(
        int nodes, int replicaCount, string nameFormat, string zones, ulong hash, string[] ownersOfSomeSlots)
    {
        var first = nameFormat.StartsWith("10.", StringComparison.Ordinal) ? 1 : 0;
        string NameOf(int number) => string.Format(System.Globalization.CultureInfo.InvariantCulture, nameFormat, number);
        var table = SlotTable.Build(
            [.. Enumerable.Range(first, nodes).Select(i => new RingNode(
                NodeName.Parse(NameOf(i)), zones.Length == 0 ? "" : zones[i % zones.Length].ToString()))],
            replicaCount);

        var owners = ((int[])[0, 1, 5_461, 12_739, 16_383]).Select(slot => TableFacts.NamesOf(table, slot));
        Assert.That(owners, Is.EqualTo(ownersOfSomeSlots.Select(numbers => numbers.Split(' ').Select(int.Parse).Select(NameOf).ToArray())));
        Assert.That(table.Hash, Is.EqualTo(hash));
    }
}
