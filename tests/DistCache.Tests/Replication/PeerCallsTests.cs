using DistCache.Peers;

namespace DistCache.Tests.Replication;

public sealed class PeerCallsTests
{
    [TestCase("Refused")]
    [TestCase("Self")]
    [TestCase("Unreachable")]
    [TestCase("TimedOut")]
    public async Task Fault_OfAMember_OpensItsBreakerAndIsNoSignOfLife(string kind)
    {
        using var cluster = new InMemoryCluster("a", "b");
        var heard = 0;
        var calls = cluster.Nodes[0].Replicator.Calls;
        calls.Heard += _ => heard++;
        cluster.Fault = (_, _, _) => new PeerFault(Enum.Parse<FaultKind>(kind), "of another cluster");
        await SendAsync(cluster, new ReadRequest(new byte[] { 1 }, 0, Renew: false, WithValue: false, AsHolder: true));
        Assert.Multiple(() =>
        {
            Assert.That(heard, Is.Zero);
            Assert.That(calls.IsUsable(Other(cluster)), Is.False);
        });
        cluster.Fault = static (_, _, _) => null;
        await SendAsync(cluster, new ReadRequest(new byte[] { 1 }, 0, Renew: false, WithValue: false, AsHolder: true));
        Assert.Multiple(() =>
        {
            Assert.That(heard, Is.EqualTo(1));
            Assert.That(calls.IsUsable(Other(cluster)), Is.True);
        });
    }

    /// <summary>One that nobody pings for lack of debts must not be passed over for ever.</summary>
    [Test]
    public async Task Breaker_AfterAMoment_LetsSomebodyTryAgain()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var calls = cluster.Nodes[0].Replicator.Calls;
        cluster.Fault = static (_, _, _) => PeerFault.TimedOut;
        await SendAsync(cluster, new ReadRequest(new byte[] { 1 }, 0, Renew: false, WithValue: false, AsHolder: true));
        cluster.Time.Advance(DistCache.Replication.PeerCalls.BreakerOpenTime - TimeSpan.FromMilliseconds(1));
        Assert.That(calls.IsUsable(Other(cluster)), Is.False);
        cluster.Time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(calls.IsUsable(Other(cluster)), Is.True);
    }

    [Test]
    public async Task Answers_ByAnotherTable_BringOneExchangeInAWhile()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var exchanges = 0;
        cluster.Nodes[0].Replicator.Calls.Exchange = (_, _) =>
        {
            exchanges++;
            return ValueTask.CompletedTask;
        };
        cluster.Replied = static _ => new WriteReply(WriteOutcome.Acknowledged, TableHash: 1, 1, 1);
        var request = new ReadRequest(new byte[] { 1 }, 0, Renew: false, WithValue: false, AsHolder: false);
        await SendAsync(cluster, request);
        await SendAsync(cluster, request);
        Assert.That(exchanges, Is.EqualTo(1));
        cluster.Time.Advance(TimeSpan.FromMilliseconds(200));
        await SendAsync(cluster, request);
        Assert.That(exchanges, Is.EqualTo(2));
    }

    /// <summary>
    /// 1 a member dies, and its address refuses; 2 it starts again, and this node hears of that; 3 a question to it gets the refusal of before,
    /// since the greeting has not dialled yet.
    /// </summary>
    [Test]
    public async Task RefusalOfTheLastLife_EndsWithTheGreeting()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var calls = cluster.Nodes[0].Replicator.Calls;
        var greeting = new TaskCompletionSource();
        cluster.Hold = (_, _, request) => request is TouchRequest ? greeting.Task : null;
        cluster.Fault = (_, _, _) => greeting.Task.IsCompleted ? null : new PeerFault(FaultKind.NotListening, "of the last life");
        cluster.Settle(cluster.Nodes[0], cluster.Add("b", 2));
        await SendAsync(cluster, new ReadRequest(new byte[] { 1 }, 0, Renew: false, WithValue: false, AsHolder: true));
        Assert.That(calls.IsUsable(Other(cluster)), Is.False);

        greeting.SetResult();

        Assert.That(calls.IsUsable(Other(cluster)), Is.True);
    }

    /// <summary>Answers and faults of many callers come at once; whoever comes last decides.</summary>
    [Test]
    public async Task Breaker_OfAMemberThatAnswersAndFailsAtOnce_StillOpensAndCloses()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var calls = cluster.Nodes[0].Replicator.Calls;
        await Task.WhenAll(Task.Run(() => Conclude(PeerFault.TimedOut, 200_000)), Task.Run(() => Conclude(DoneReply.Instance, 200_000)));

        Conclude(DoneReply.Instance, 1);
        Assert.That(calls.IsUsable(Other(cluster)), Is.True);
        Conclude(PeerFault.TimedOut, 1);
        Assert.That(calls.IsUsable(Other(cluster)), Is.False);

        void Conclude(PeerReply reply, int times)
        {
            var (other, routing) = (Other(cluster), cluster.Nodes[0].Replicator.Ownership.Current);
            for (var i = 0; i < times; i++)
            {
                _ = calls.ConcludeAsync(other, reply, routing, Lane.Data, 0, TimeSpan.FromSeconds(1), default);
            }
        }
    }

    /// <summary>A member that died and was found again, in the same life, is as good as one that was never seen.</summary>
    [Test]
    public async Task Life_ThatIsOver_IsForgotten()
    {
        using var cluster = new InMemoryCluster("a", "b");
        var (here, there) = (cluster.Nodes[0], cluster.Nodes[1]);
        cluster.Fault = static (_, _, _) => PeerFault.TimedOut;
        await SendAsync(cluster, new ReadRequest(new byte[] { 1 }, 0, Renew: false, WithValue: false, AsHolder: true));
        Assert.That(here.Replicator.Calls.IsUsable(Other(cluster)), Is.False);
        var greetings = 0;
        cluster.Hold = (from, _, request) =>
        {
            greetings += from == here && request is TouchRequest ? 1 : 0;
            return new TaskCompletionSource().Task;
        };

        cluster.Settle(here);
        cluster.Settle(here, there);

        Assert.Multiple(() =>
        {
            Assert.That(greetings, Is.EqualTo(1));
            Assert.That(here.Replicator.Calls.IsUsable(Other(cluster)), Is.True);
        });
    }

    [Test]
    public async Task Timeout_OnTheBulkLane_SaysNothingAboutSmallReads()
    {
        using var cluster = new InMemoryCluster("a", "b");
        cluster.Fault = static (_, _, _) => PeerFault.TimedOut;
        await SendAsync(cluster, new CompareRequest([], 0));
        Assert.That(cluster.Nodes[0].Replicator.Calls.IsUsable(Other(cluster)), Is.True);
    }

    /// <summary>It was asked on the data lane, and answered there that a large value follows.</summary>
    [Test]
    public async Task LargeReply_NotInTime_SaysNothingAboutSmallReads()
    {
        using var cluster = new InMemoryCluster("a", "b");
        cluster.Fault = static (_, _, _) => PeerFault.LargeTimedOut;
        await SendAsync(cluster, new ReadRequest(new byte[] { 1 }, 0, Renew: false, WithValue: true, AsHolder: false));
        Assert.That(cluster.Nodes[0].Replicator.Calls.IsUsable(Other(cluster)), Is.True);
    }

    [Test]
    public async Task Refusal_WhoseCureTakesLong_IsWaitedForAsLongAsTheCallerHasTime([Values(0, 600)] int replyTakes)
    {
        using var cluster = new InMemoryCluster("a", "b");
        cluster.Nodes[0].Replicator.Calls.Exchange = static (_, _) => new ValueTask(new TaskCompletionSource().Task);
        cluster.Replied = static _ => new WriteReply(WriteOutcome.NotMine, TableHash: 1, 0, 0);
        cluster.Hold = (_, _, _) => Task.Delay(TimeSpan.FromMilliseconds(replyTakes), cluster.Time);
        var sent = SendAsync(cluster, new ReadRequest(new byte[] { 1 }, 0, Renew: false, WithValue: false, AsHolder: false));
        cluster.Time.Advance(TimeSpan.FromMilliseconds(replyTakes));
        cluster.Time.Advance(TimeSpan.FromMilliseconds(999 - replyTakes));
        Assert.That(sent.IsCompleted, Is.False, "it is worth waiting for");
        cluster.Time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(sent.IsCompleted, Is.True);
        await sent;
    }

    private static DistCache.Membership.Member Other(InMemoryCluster cluster)
    {
        var routing = cluster.Nodes[0].Replicator.Ownership.Current;
        return routing.LiveMembers.Single(member => !routing.IsSelf(member));
    }

    private static async Task SendAsync(InMemoryCluster cluster, PeerRequest request)
    {
        var replicator = cluster.Nodes[0].Replicator;
        await replicator.Calls.SendAsync(Other(cluster), request, replicator.Ownership.Current, TimeSpan.FromSeconds(1), default);
    }
}
