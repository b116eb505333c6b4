using DistCache.Membership;
using DistCache.Peers;
using DistCache.Tests.Wire;

namespace DistCache.Tests.Membership;

[CancelAfter(Patience.Milliseconds)]
public sealed class GossipLoopTests
{
    private static readonly string[] Addresses = ["a:1", "b:1", "c:1"];

    private MemoryNetwork _network = null!;

    [SetUp]
    public void SetUp() => _network = new MemoryNetwork();

    [TearDown]
    public async Task TearDownAsync() => await _network.DisposeAsync();

    [Test]
    public async Task Join_NobodyElseThere_CompletesAtOnceAndOwnsEverything()
    {
        var node = _network.Add("a:1", Addresses);

        var join = node.Loop.JoinAsync(CancellationToken.None);

        Assert.That(join.IsCompletedSuccessfully, Is.True);
        await join;
        Assert.That(node.Settled, Is.EqualTo(new[] { "a:1" }));
    }

    [Test]
    public void Join_SeedIsSilent_WaitsForTheTimeoutOnly()
    {
        _network.Silent.Add(PeerAddress.Parse("b:1"));
        var node = _network.Add("a:1", Addresses);
        var join = node.Loop.JoinAsync(CancellationToken.None);

        _network.Time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.That(join.IsCompleted, Is.False);
        _network.Time.Advance(TimeSpan.FromSeconds(0.2));

        Assert.That(join.IsCompletedSuccessfully, Is.True);
    }

    /// <summary>Two come back at the same time and find each other first: the cluster that is there must be asked before anybody is told that there is nothing.</summary>
    [TestCase(false)]
    [TestCase(true)]
    public void Join_OneAsNewAnswersFirst_WaitsForTheOtherSeedsAsLongAsForAProbe(bool doesItCount)
    {
        _network.Silent.Add(PeerAddress.Parse("c:1"));
        Start("b:1");
        if (doesItCount)
        {
            _network.Time.Advance(TimeSpan.FromSeconds(10));
        }

        var node = _network.Add("a:1", Addresses);
        var join = node.Loop.JoinAsync(CancellationToken.None);
        Assert.That(join.IsCompleted, Is.EqualTo(doesItCount));

        _network.Time.Advance(TimeSpan.FromMilliseconds(199));
        Assert.That(join.IsCompleted, Is.EqualTo(doesItCount));
        _network.Time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(join.IsCompletedSuccessfully, Is.True);
    }

    [Test]
    public void Join_RestOfTheTimeoutBelowAMillisecond_Ends()
    {
        // What is left of the timeout after a pause is seldom a whole number of milliseconds; it must not be waited out by spinning.
        _network.Silent.Add(PeerAddress.Parse("b:1"));
        var node = _network.Add("a:1", Addresses, joinTimeout: TimeSpan.FromMilliseconds(1_000.4));
        var join = Task.Run(() =>
        {
            var join = node.Loop.JoinAsync(CancellationToken.None);
            _network.Time.Advance(TimeSpan.FromSeconds(2));
            return join.IsCompleted;
        });

        Assert.That(join.Wait(Patience.Time), Is.True);
        Assert.That(join.Result, Is.True);
    }

    [TestCase("a:1", "b:1", "c:1")]
    [TestCase("c:1", "a:1", "b:1")]
    [TestCase("b:1", "c:1", "a:1")]
    public void Join_AnyOrderOfStart_OneCluster(params string[] order)
    {
        var nodes = Start(order);

        _network.Time.Advance(TimeSpan.FromSeconds(5));

        Assert.That(nodes.Select(node => node.Settled), Is.All.EqualTo(Addresses));
    }

    [Test]
    public void Join_RunningCluster_NewcomerBuildsItsTableAndCountsAfterTheSettleWindow()
    {
        var nodes = Start("a:1", "b:1");
        _network.Time.Advance(TimeSpan.FromSeconds(10));

        var newcomer = Start("c:1")[0];
        _network.Time.Advance(TimeSpan.FromMilliseconds(400));
        Assert.That(nodes.Append(newcomer).Select(node => node.Settled), Is.All.EqualTo(new[] { "a:1", "b:1" }));

        _network.Time.Advance(TimeSpan.FromMilliseconds(700));
        Assert.That(nodes.Append(newcomer).Select(node => node.Settled), Is.All.EqualTo(Addresses));
    }

    [Test]
    public async Task Kill_AddressRefuses_DeadWithinTwoSecondsAndRoutedAround()
    {
        var nodes = Start(Addresses);
        _network.Time.Advance(TimeSpan.FromSeconds(5));

        await _network.KillAsync(nodes[2]);
        _network.Time.Advance(TimeSpan.FromSeconds(2));

        Assert.That(nodes[..2].Select(node => node.StateOf(nodes[2])), Is.All.EqualTo(MemberState.Dead));
        _network.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(nodes[..2].Select(node => node.Settled), Is.All.EqualTo(new[] { "a:1", "b:1" }));
    }

    /// <summary>It is dialled as the seeds are, in case a cut heals; it is none of them.</summary>
    [Test]
    public async Task Kill_OfAMemberThatIsNoSeed_IsNotLoggedAsASeed()
    {
        var log = new LineLogger();
        var node = _network.Add("a:1", ["a:1", "s:1"], logger: log);
        var other = _network.Add("b:1", ["a:1"]);
        _ = node.Loop.JoinAsync(CancellationToken.None);
        _ = other.Loop.JoinAsync(CancellationToken.None);
        _network.Time.Advance(TimeSpan.FromSeconds(5));

        await _network.KillAsync(other);
        _network.Time.Advance(TimeSpan.FromSeconds(60));

        Assert.That(node.StateOf(other), Is.EqualTo(MemberState.Dead));
        Assert.That(log.Lines.Where(line => line.StartsWith("Seed", StringComparison.Ordinal)), Has.One.Items.And.All.StartsWith("Seed s:1 does not answer"));
    }

    [Test]
    public void Silence_LongerThanTheSuspicion_SuspectThenDead()
    {
        var nodes = Start(Addresses);
        _network.Time.Advance(TimeSpan.FromSeconds(5));

        _network.Silent.Add(nodes[2].Address);
        _network.Time.Advance(TimeSpan.FromSeconds(1.6));
        Assert.That(nodes[..2].Select(node => node.StateOf(nodes[2])), Is.All.EqualTo(MemberState.Suspect));
        _network.Time.Advance(TimeSpan.FromSeconds(8));

        Assert.That(nodes[..2].Select(node => node.StateOf(nodes[2])), Is.All.EqualTo(MemberState.Dead));
    }

    [Test]
    public void Silence_Over_ReturnsWithARefutationAndItsMemory()
    {
        var nodes = Start(Addresses);
        _network.Time.Advance(TimeSpan.FromSeconds(5));
        _network.Silent.Add(nodes[2].Address);
        _network.Time.Advance(TimeSpan.FromSeconds(30));
        var incarnation = nodes[2].Loop.Self.Incarnation;

        _network.Silent.Clear();
        _network.Time.Advance(TimeSpan.FromSeconds(12));

        var returned = nodes[0].Loop.View.Find(nodes[2].Loop.Self.Name)!.Record;
        Assert.That(returned.State, Is.EqualTo(MemberState.Alive));
        Assert.That(returned.Identity.Incarnation, Is.EqualTo(incarnation));
        Assert.That(returned.Refutation, Is.GreaterThan(0));
        Assert.That(nodes.Select(node => node.Settled), Is.All.EqualTo(Addresses));
    }

    [Test]
    public async Task Return_SameNameNewIncarnation_TakenBack()
    {
        var nodes = Start(Addresses);
        _network.Time.Advance(TimeSpan.FromSeconds(5));
        await _network.KillAsync(nodes[2]);
        _network.Time.Advance(TimeSpan.FromSeconds(10));

        var returned = Start("c:1")[0];
        _network.Time.Advance(TimeSpan.FromSeconds(3));

        Assert.That(nodes[0].StateOf(returned), Is.EqualTo(MemberState.Alive));
        Assert.That(new[] { nodes[0], nodes[1], returned }.Select(node => node.Settled), Is.All.EqualTo(Addresses));
    }

    [Test]
    public async Task Return_ClockSetBackAnHour_TakesTheIncarnationAfterItsPast()
    {
        var nodes = Start(Addresses);
        _network.Time.Advance(TimeSpan.FromSeconds(5));
        var past = nodes[2].Loop.Self;
        await _network.KillAsync(nodes[2]);
        _network.Time.Skew(TimeSpan.FromHours(-1));

        var returned = Start("c:1")[0];
        _network.Time.Advance(TimeSpan.FromSeconds(3));

        Assert.That(returned.Loop.Self.Incarnation, Is.EqualTo(past.Incarnation + 1));
        Assert.That(nodes[0].Loop.View.Find(past.Name)!.Record.Identity, Is.EqualTo(returned.Loop.Self));
    }

    [Test]
    public void Join_TwoLiveProcessesWithOneName_LowerIncarnationServesAlone()
    {
        var nodes = Start("a:1", "b:1");
        var first = _network.Add("c:1", Addresses, name: "twin");
        _ = first.Loop.JoinAsync(CancellationToken.None);
        _network.Time.Advance(TimeSpan.FromSeconds(5));

        var second = _network.Add("d:1", Addresses, name: "twin");
        _ = second.Loop.JoinAsync(CancellationToken.None);
        _network.Time.Advance(TimeSpan.FromSeconds(10));

        Assert.That(first.Loop.View.Members.Select(member => member.Address), Is.EqualTo(new[] { first.Address }));
        Assert.That(nodes[0].Loop.View.Find(second.Loop.Self.Name)!.Address, Is.EqualTo(second.Address));
        Assert.That(second.Settled, Has.Exactly(3).Items);
    }

    [Test]
    public async Task Leave_Announced_SeenByAllAtOnceAndNeverAsACrash()
    {
        var nodes = Start(Addresses);
        _network.Time.Advance(TimeSpan.FromSeconds(5));
        var seen = new List<MemberState?>();
        nodes[0].Loop.ViewChanged += _ => seen.Add(nodes[0].StateOf(nodes[2]));

        await nodes[2].Loop.LeaveAsync(CancellationToken.None);
        Assert.That(nodes[..2].Select(node => node.Settled), Is.All.EqualTo(new[] { "a:1", "b:1" }));
        await nodes[2].Loop.LeftAsync(CancellationToken.None);
        await _network.KillAsync(nodes[2]);
        _network.Time.Advance(TimeSpan.FromSeconds(10));

        Assert.That(nodes[..2].Select(node => node.StateOf(nodes[2])), Is.All.EqualTo(MemberState.Left));
        Assert.That(seen, Has.None.EqualTo(MemberState.Suspect).And.None.EqualTo(MemberState.Dead));
    }

    [Test]
    public async Task Handle_AfterHavingLeft_IsAFaultAndNotAnAnswer()
    {
        var nodes = Start(Addresses);
        await nodes[2].Loop.LeftAsync(CancellationToken.None);

        var reply = await nodes[2].Loop.HandleAsync(nodes[0].Loop.Self, new GossipRequest([]), CancellationToken.None);

        Assert.That(reply, Is.InstanceOf<PeerFault>());
    }

    [Test]
    public async Task Handle_RecordsThatAreNotBelieved_CountsEachByItsReason()
    {
        using var metrics = new CountedMetrics();
        var nodes = Start("a:1", "b:1");
        _network.Time.Advance(TimeSpan.FromSeconds(5));
        var from = nodes[1].Loop.Self;
        var self = nodes[0].Loop.Self;
        var record = nodes[1].Loop.View.Self.Record;
        var ahead = _network.Time.GetUtcNow().ToUnixTimeMilliseconds() + SwimTiming.MaximumIncarnationLead + 1;
        var tooFarAhead = record with { Identity = new NodeIdentity(NodeName.Parse("c:1"), ahead) };

        var refused = await nodes[0].Loop.HandleAsync(from, new GossipRequest([.. Enumerable.Repeat(record, 65)]), CancellationToken.None);
        Assert.That(refused, Is.InstanceOf<PeerFault>());
        Assert.That(Counts(), Is.EqualTo((1, 0)), "65 rumours");

        await nodes[0].Loop.HandleAsync(from, new GossipRequest([tooFarAhead]), CancellationToken.None);
        Assert.That(Counts(), Is.EqualTo((1, 1)), "a record");

        await nodes[0].Loop.HandleAsync(from, new ProbeRequest(self with { Incarnation = ahead }, []), CancellationToken.None);
        Assert.That(Counts(), Is.EqualTo((1, 2)), "the target of a probe");

        Assert.That(nodes[0].Loop.Self, Is.EqualTo(self));
        Assert.That(nodes[0].Loop.View.Members, Has.Length.EqualTo(2));

        (long TooMany, long TooFarAhead) Counts() => (
            metrics[$"distcache.membership.refused/{Disbelief.TooManyRecords}"],
            metrics[$"distcache.membership.refused/{Disbelief.IncarnationTooFarAhead}"]);
    }

    [Test]
    public void Heard_MemberRepliesOnTheDataLane_IsNotSuspected()
    {
        var nodes = Start("a:1", "b:1");
        _network.Time.Advance(TimeSpan.FromSeconds(5));
        _network.Silent.Add(nodes[1].Address);

        for (var i = 0; i < 100; i++)
        {
            nodes[0].Loop.Heard(nodes[1].Loop.Self.Name);
            _network.Time.Advance(TimeSpan.FromMilliseconds(100));
            Assert.That(nodes[0].StateOf(nodes[1]), Is.EqualTo(MemberState.Alive));
        }
    }

    [Test]
    public async Task Exchange_AskedFor_MembersAreThereWhenItCompletes()
    {
        var nodes = new[] { _network.Add("a:1"), _network.Add("b:1") };
        await Task.WhenAll(nodes.Select(node => node.Loop.JoinAsync(CancellationToken.None)));

        await nodes[0].Loop.ExchangeAsync(nodes[1].Address, CancellationToken.None);

        Assert.That(nodes[0].StateOf(nodes[1]), Is.EqualTo(MemberState.Alive));
        Assert.That(nodes[1].StateOf(nodes[0]), Is.EqualTo(MemberState.Alive));
    }

    private MemoryNode[] Start(params string[] addresses) =>
        [.. addresses.Select(address =>
        {
            var node = _network.Add(address, Addresses);
            _ = node.Loop.JoinAsync(CancellationToken.None);
            return node;
        })];
}
