using DistCache.Entries;
using DistCache.Membership;
using DistCache.Peers;
using DistCache.Replication;
using DistCache.Ring;

namespace DistCache.Tests.Replication;

/// <summary>Who is away, for how long, and who comes back too late; as one node sees it, and as it tells others.</summary>
public sealed class AbsencesTests
{
    private static readonly NodeIdentity Self = Identity("self");
    private static readonly NodeIdentity Other = Identity("other");
    private static readonly NodeIdentity Away = Identity("away");

    private readonly ManualTime _time = new();

    /// <summary>The age of an absence is what is told, however long each of both remembers removals.</summary>
    [TestCase(8, 1)]
    [TestCase(1, 8)]
    public void Absence_ToldToOneWithAnotherLifetime_IsAsLongThere(double tellersHours, double hearersHours)
    {
        var (teller, hearer) = (Of(tellersHours), Of(hearersHours));
        teller.Admit(ViewOf(MemberState.Dead));
        Live(TimeSpan.FromMinutes(30), teller, hearer);
        Tell(teller, hearer);
        Assert.That(hearer.IsNone, Is.False, "it may come back");

        var back = ViewOf(MemberState.Alive);
        Assert.That(hearer.Admit(back), Is.SameAs(back), "half an hour is not too long");
    }

    /// <summary>Where one node forgets removals after an hour, nobody may come back after that.</summary>
    [TestCase(50, false)]
    [TestCase(54, true)]
    public void ShortestLifetime_CountsForAll(int minutes, bool isTooLate)
    {
        var (shortLived, longLived) = (Of(1), Of(8));
        Tell(shortLived, longLived);
        longLived.Admit(ViewOf(MemberState.Dead));
        Live(TimeSpan.FromMinutes(minutes), longLived);
        longLived.Admit(ViewOf(MemberState.Alive));
        Assert.That(longLived.IsStranger(Away), Is.EqualTo(isTooLate));
    }

    /// <summary>An answer from before lifetimes were told.</summary>
    [Test]
    public void Absence_ToldWithoutALifetime_IsTakenForOneOfTheSame()
    {
        var hearer = Of(1);
        hearer.Hear(Other, new HoldingsReply(0, new SlotSet(), [new Absence(Away, 60_000)], IsWhole: true), _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Dead));
        Live(TimeSpan.FromSeconds(50), hearer);
        Assert.That(hearer.Tell(Self).Missing.Single().IsTooLate, Is.False);
        Live(TimeSpan.FromSeconds(11), hearer);
        Assert.That(hearer.Tell(Self).Missing.Single().IsTooLate, Is.True);
    }

    /// <summary>A lifetime that no node can have been given would make strangers of everybody who is away for a moment.</summary>
    [Test]
    public void Lifetime_ThatIsShorterThanAllowed_IsNotBelieved()
    {
        var hearer = Of(1);
        hearer.Hear(Other, new HoldingsReply(0, new SlotSet(), [], IsWhole: true, TimeSpan.FromSeconds(1)), _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Alive));
        Assert.That(hearer.Tell(Self).TombstoneLifetime, Is.EqualTo(TimeSpan.FromHours(1)));
    }

    [TestCase(10, true)]
    [TestCase(60, false)]
    public void Standstill_OfLessThanAQuarterMinute_CountsAsTimeThatPassed(int seconds, bool isTooLate)
    {
        var absences = Of(1);
        absences.Admit(ViewOf(MemberState.Dead));
        Live(TimeSpan.FromMinutes(52.5) - TimeSpan.FromSeconds(10), absences);
        _time.Advance(TimeSpan.FromSeconds(seconds));
        absences.Admit(ViewOf(MemberState.Alive));
        Assert.That(absences.IsStranger(Away), Is.EqualTo(isTooLate));
    }

    /// <summary>It is unsure until all that it knew have spoken, and has no claim against those who say that it was away for too long.</summary>
    [Test]
    public void Standstill_OfHours_MakesUnsureUntilEverybodySpoke()
    {
        var absences = Of(1);
        absences.StandStill(TimeSpan.FromMinutes(8), ViewOf(MemberState.Alive));
        Assert.That(absences.IsUnsure, Is.False, "removals live longer than that everywhere");

        absences.StandStill(TimeSpan.FromHours(8), ViewOf(MemberState.Alive));
        Assert.That(absences.IsUnsure, Is.True);
        Assert.That(absences.Tell(Self).Missing, Is.EqualTo(new[] { new Absence(Self, 0) }), "it names itself");

        Assert.That(absences.Hear(Other, new HoldingsReply(0, new SlotSet(), [], IsWhole: true), _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Alive)), Is.True);
        absences.Admit(ViewOf(MemberState.Alive));
        Assert.That((absences.IsUnsure, absences.HasStoodStill), Is.EqualTo((true, true)), "one has not spoken");

        absences.Admit(ViewOf(MemberState.Dead));
        Assert.That((absences.IsUnsure, absences.HasStoodStill), Is.EqualTo((false, true)), "one has not spoken, but is not here");

        Live(TimeSpan.FromMinutes(52.5), absences);
        Assert.That((absences.IsUnsure, absences.HasStoodStill), Is.EqualTo((false, false)), "it has gone on for as long as anybody");
    }

    [Test]
    public void Standstill_ThatAMemberWentOnWithout_LeavesItUnsure()
    {
        var absences = Of(1);
        absences.StandStill(TimeSpan.FromHours(8), ViewOf(MemberState.Alive));
        var told = new HoldingsReply(0, new SlotSet(), [new Absence(Self, 0)], IsWhole: true);
        Assert.That(absences.Hear(Other, told, _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Alive)), Is.True);
        Assert.That(absences.Hear(Away, new HoldingsReply(0, new SlotSet(), [], IsWhole: true), _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Alive)), Is.True);
        absences.Admit(ViewOf(MemberState.Alive));
        Assert.That((absences.IsUnsure, absences.IsStranger(Other)), Is.EqualTo((true, true)));

        absences.BeginAnew([]);
        absences.Admit(ViewOf(MemberState.Dead, MemberState.Dead));
        Assert.That(absences.IsUnsure, Is.True, "it still holds what it held");

        absences.HasBegun();
        Assert.That((absences.IsUnsure, absences.HasStoodStill), Is.EqualTo((false, false)));
    }

    [Test]
    public void Standstill_OfOneWhoseMembersAreGoneSinceAnEarlierOne_LeavesItSure()
    {
        var absences = Of(1);
        absences.StandStill(TimeSpan.FromHours(8), ViewOf(MemberState.Dead));
        Assert.That(absences.IsUnsure, Is.True);

        absences.Admit(ViewOf(MemberState.Dead, MemberState.Dead));
        absences.StandStill(TimeSpan.FromHours(8), ViewOf(MemberState.Dead, MemberState.Dead));
        Assert.That(absences.IsUnsure, Is.False, "there is nobody to ask");
    }

    /// <summary>Only with the time before and after it, in which this node wrote, was it away for too long.</summary>
    [Test]
    public void Standstill_ShorterThanTheLifetime_IsDoubtedButNoReasonToYield()
    {
        var absences = Of(1);
        absences.StandStill(TimeSpan.FromMinutes(20), ViewOf(MemberState.Alive));
        Assert.That((absences.IsUnsure, absences.HasStoodStill), Is.EqualTo((true, false)));
        Assert.That(absences.Tell(Self).Missing, Is.Empty);

        var told = new HoldingsReply(0, new SlotSet(), [], IsWhole: true, TimeSpan.FromMinutes(20));
        absences.Hear(Other, told, _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Alive));
        Assert.That(absences.HasStoodStill, Is.True, "some forget removals earlier");
    }

    /// <summary>Who answered before says nothing of what he did meanwhile.</summary>
    [Test]
    public void Answer_ToAQuestionOfBeforeTheStandstill_LeavesUnsure()
    {
        var absences = Of(1);
        var askedAt = _time.GetTimestamp();
        Live(TimeSpan.FromSeconds(1), absences);
        absences.StandStill(TimeSpan.FromHours(8), ViewOf(MemberState.Dead));
        absences.Hear(Other, new HoldingsReply(0, new SlotSet(), [], IsWhole: true), askedAt, RoutingOf(), ViewOf(MemberState.Dead));
        absences.Admit(ViewOf(MemberState.Dead));
        Assert.That(absences.IsUnsure, Is.True);

        absences.Hear(Other, new HoldingsReply(0, new SlotSet(), [], IsWhole: true), _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Dead));
        absences.Admit(ViewOf(MemberState.Dead));
        Assert.That(absences.IsUnsure, Is.False);
    }

    /// <summary>A stranger's word counts for nothing, so it is not waited for.</summary>
    [Test]
    public void Standstill_OfOneThatKnewAStranger_DoesNotWaitForIt()
    {
        var absences = Of(1);
        absences.Admit(ViewOf(MemberState.Dead));
        Live(TimeSpan.FromMinutes(53), absences);
        absences.Admit(ViewOf(MemberState.Alive));
        absences.StandStill(TimeSpan.FromHours(8), ViewOf(MemberState.Alive));
        Assert.That(absences.IsUnsure, Is.True);

        absences.Hear(Other, new HoldingsReply(0, new SlotSet(), [], IsWhole: true), _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Alive));
        absences.Admit(ViewOf(MemberState.Alive));
        Assert.That((absences.IsUnsure, absences.HasStoodStill, absences.IsStranger(Away)), Is.EqualTo((false, false, true)));
    }

    /// <summary>What it says of itself is no news about who is a stranger.</summary>
    [Test]
    public void MemberThatNamesItself_IsNoStranger()
    {
        var absences = Of(1);
        absences.Hear(Other, new HoldingsReply(0, new SlotSet(), [new Absence(Other, 0)], IsWhole: true), _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Alive));
        var view = ViewOf(MemberState.Alive);
        Assert.That(absences.Admit(view), Is.SameAs(view));
    }

    /// <summary>Of two sides that meet each says of the other's members that they come too late: which of the two is meant depends on whose word it is.</summary>
    [TestCase(true, false, true, TestName = "TooLateMember_ByTheWordOfOneOfThisSide_IsTheStranger")]
    [TestCase(false, true, false, TestName = "TooLateMember_OfThisSideByANewcomersWord_MakesTheNewcomerAStranger")]
    public void TooLateMember_OfTheTable_IsJudgedByWhoSaysIt(bool isOfTheTable, bool isOtherAStranger, bool isAwayAStranger)
    {
        var absences = Of(1);
        var told = new HoldingsReply(0, new SlotSet(), [new Absence(Away, 0)], IsWhole: true);
        var routing = isOfTheTable ? RoutingOf(Self, Other, Away) : RoutingOf(Self, Away);
        Assert.That(absences.Hear(Other, told, _time.GetTimestamp(), routing, ViewOf(MemberState.Alive)), Is.True);
        absences.Admit(ViewOf(MemberState.Alive));
        Assert.That((absences.IsStranger(Other), absences.IsStranger(Away)), Is.EqualTo((isOtherAStranger, isAwayAStranger)));
    }

    private Absences Of(double hours) => new(_time, TimeSpan.FromHours(hours));

    /// <summary>Time passes, and they run.</summary>
    private void Live(TimeSpan duration, params Absences[] all)
    {
        for (var left = duration; left > TimeSpan.Zero; left -= TimeSpan.FromSeconds(1))
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            Array.ForEach(all, static absences => absences.Run());
        }
    }

    private void Tell(Absences teller, Absences hearer)
    {
        var (missing, lifetime) = teller.Tell(Other);
        hearer.Hear(Other, new HoldingsReply(0, new SlotSet(), missing, IsWhole: true, lifetime), _time.GetTimestamp(), RoutingOf(), ViewOf(MemberState.Dead));
    }

    private static NodeIdentity Identity(string name) => new(NodeName.Parse(name), 1);

    private static Routing RoutingOf() => RoutingOf(Self, Other, Away);

    private static Routing RoutingOf(params NodeIdentity[] table) =>
        new(ViewOf(MemberState.Alive), SlotTable.Build([.. table.Select(static node => new RingNode(node.Name, ""))], 1), Import.Nothing());

    private static MembershipView ViewOf(MemberState away, MemberState other = MemberState.Alive)
    {
        var members = new[] { (Self, MemberState.Alive), (Other, other), (Away, away) }
            .Select(member => new Member(
                new MemberRecord(member.Item1, 0, member.Item2, new PeerAddress(member.Item1.Name.ToString(), 1), "", 1), IsSettled: true))
            .OrderBy(member => member.Name)
            .ToArray();
        return new MembershipView(members.First(member => member.Name == Self.Name), [.. members]);
    }
}
