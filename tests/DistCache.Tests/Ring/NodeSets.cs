using DistCache.Peers;
using DistCache.Ring;

namespace DistCache.Tests.Ring;

/// <summary>Names as clusters have them, reproducible, any number of sets of each kind.</summary>
internal static class NodeSets
{
    public const int SetCount = 20;

    private static readonly string[] Applications =
        ["shop", "cart", "api", "web", "orders", "billing", "session", "catalog", "gateway", "search"];

    public enum Kind
    {
        /// <summary>10.4.0.1:7600, 10.4.0.2:7600 …</summary>
        Addresses,

        /// <summary>cart-0, cart-1 …, and in later sets with the domain of the service behind them.</summary>
        Pods,

        Guids,
    }

    public static List<RingNode> Build(Kind kind, int set, int count, Func<int, string>? zoneOf = null)
    {
        var random = new Random(set);
        return [.. Enumerable.Range(0, count).Select(i => new RingNode(NodeName.Parse(Name(kind, set, i, random)), zoneOf?.Invoke(i) ?? ""))];
    }

    private static string Name(Kind kind, int set, int index, Random random)
    {
        var application = Applications[set % Applications.Length];
        return kind switch
        {
            Kind.Addresses => $"10.{set % 7}.{set / 7}.{index + 1}:7600",
            Kind.Pods when set < Applications.Length => $"{application}-{index}",
            Kind.Pods => $"{application}{set}-{index}.{application}.default.svc.cluster.local:7600",
            _ => NextGuid(random).ToString(),
        };
    }

    private static Guid NextGuid(Random random)
    {
        var bytes = new byte[16];
        random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
