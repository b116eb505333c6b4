using DistCache.Membership;
using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Simulation.Membership;

/// <summary>What the membership costs, and how large it may get.</summary>
public sealed class SizeScenarios
{
    [Test]
    public void Quiet_FromTenToAHundred_MessagesAndBytesPerNodeStayFlat()
    {
        var small = Measure(10);
        var large = Measure(100);

        TestContext.Out.WriteLine($"10 nodes: {small.Messages:F1} messages/s, {small.Bytes:F0} bytes/s a node; 100 nodes: {large.Messages:F1}, {large.Bytes:F0}.");
        Assert.That(large.Messages, Is.LessThanOrEqualTo(small.Messages * 1.2));

        // The full exchange names every member: the one part that grows with the cluster, as it was measured and a third more.
        Assert.That(large.Bytes, Is.LessThanOrEqualTo(small.Bytes + 500));
    }

    [Test]
    public void View_OfAllTheMembersThatThereMayBe_IsOneAndTheNextIsRefused()
    {
        var records = Enumerable.Range(0, SwimTiming.MaximumMembers).Select(number => Record($"m{number:d3}")).ToArray();
        var now = new Moment(0, 1_000_000);
        var settings = new MembershipSettings(NodeName.Parse("m000"), new PeerAddress("m000", 1), "", 1, ClusterProfile.Lan, TimeSpan.Zero);
        var swim = new Swim(settings, 1, new Random(1), now);

        swim.Exchanged(records[1].Identity, new ExchangeRequest(records[1..]), now);
        Assert.That(swim.BuildView(now).Members, Has.Length.EqualTo(SwimTiming.MaximumMembers));

        swim.Exchanged(records[1].Identity, new ExchangeRequest([records[1], Record("one-too-many")]), now);
        Assert.That(swim.BuildView(now).Members, Has.Length.EqualTo(SwimTiming.MaximumMembers));
        Assert.That(swim.TakeEffects().Disbeliefs, Is.EqualTo(new[] { Disbelief.TableFull }));
    }

    [Test]
    [Category("Long")]
    public void Start_OfAllTheMembersThatThereMayBe_OneCluster()
    {
        Assume.That(Swarm.IsLong, "DISTCACHE_LONG is not set.");
        using var cluster = new Cluster(SwimTiming.MaximumMembers, ClusterProfile.Lan);
        foreach (var node in cluster.Nodes)
        {
            node.Start();
        }

        cluster.Converge(TimeSpan.FromSeconds(60));
    }

    private static MemberRecord Record(string name) =>
        new(new NodeIdentity(NodeName.Parse(name), 1), 0, MemberState.Alive, new PeerAddress(name, 1), "", 1);

    private static (double Messages, double Bytes) Measure(int nodes)
    {
        using var cluster = new Cluster(nodes, ClusterProfile.Lan).Form();
        var time = TimeSpan.FromSeconds(30);
        long messages = 0;
        long bytes = 0;
        var buffer = new MessageBuffer();
        cluster.Network.Sent = (_, message) =>
        {
            messages++;
            bytes += SizeOf(buffer, message);
        };
        cluster.Simulation.Run(time);
        return (messages / time.TotalSeconds / nodes, bytes / time.TotalSeconds / nodes);
    }

    private static int SizeOf(MessageBuffer buffer, object message)
    {
        var before = buffer.Length;
        if (message is PeerRequest request)
        {
            MessageCodec.Encode(buffer, 1, 1, request);
        }
        else
        {
            MessageCodec.Encode(buffer, 1, 1, (PeerReply)message);
        }

        return buffer.Length - before + MessageBuffer.PrefixBytes;
    }
}
