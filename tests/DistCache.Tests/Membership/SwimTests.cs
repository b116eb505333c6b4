using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Tests.Membership;

/// <summary>What a record about a member does to what is believed of it, one row each; and what is never believed.</summary>
public sealed class SwimTests
{
    private const long Start = 1_000_000;

    private static readonly NodeIdentity Peer = new(NodeName.Parse("peer"), 10);
    private static readonly NodeIdentity Teller = new(NodeName.Parse("teller"), 10);

    private Swim _swim = null!;

    [SetUp]
    public void SetUp() => _swim = New("self", Start);

    // Known as              told                       believed
    [TestCase("Alive 10.5", "Alive 10.4", "Alive 10.5")]
    [TestCase("Alive 10.5", "Suspect 10.4", "Alive 10.5")]
    [TestCase("Alive 10.5", "Dead 9.9", "Alive 10.5")]
    [TestCase("Alive 10.5", "Suspect 10.5", "Suspect 10.5")]
    [TestCase("Alive 10.5", "Alive 10.6", "Alive 10.6")]
    [TestCase("Alive 10.5", "Alive 11.0", "Alive 11.0")]
    [TestCase("Alive 10.5", "Suspect 11.0", "Suspect 11.0")]
    [TestCase("Alive 10.5", "Leaving 10.5", "Leaving 10.5")]
    [TestCase("Alive 10.5", "Left 10.5", "Left 10.5")]
    [TestCase("Alive 10.5", "Dead 11.0", "Dead 11.0")]
    [TestCase("Suspect 10.5", "Alive 10.5", "Suspect 10.5")]
    [TestCase("Suspect 10.5", "Alive 10.6", "Alive 10.6")]
    [TestCase("Suspect 10.5", "Dead 10.5", "Dead 10.5")]
    [TestCase("Suspect 10.5", "Leaving 10.5", "Leaving 10.5")]
    [TestCase("Leaving 10.5", "Suspect 10.5", "Leaving 10.5")]
    [TestCase("Leaving 10.5", "Left 10.5", "Left 10.5")]
    [TestCase("Leaving 10.5", "Alive 10.5", "Leaving 10.5")]
    [TestCase("Dead 10.5", "Alive 10.5", "Dead 10.5")]
    [TestCase("Dead 10.5", "Suspect 10.5", "Dead 10.5")]
    [TestCase("Dead 10.5", "Alive 10.6", "Alive 10.6")]
    [TestCase("Dead 10.5", "Left 10.5", "Left 10.5")]
    [TestCase("Dead 10.5", "Alive 11.0", "Alive 11.0")]
    [TestCase("Left 10.5", "Dead 10.5", "Left 10.5")]
    [TestCase("Left 10.5", "Alive 11.0", "Alive 11.0")]
    public void Record_AboutAMember_LaterLifeThenRefutationThenStateWins(string known, string told, string believed)
    {
        Know(known);

        Tell(told);

        Assert.That(Believed(), Is.EqualTo(believed));
    }

    [Test]
    public void Dead_ToldOfOneThatIsAliveHere_BelievedOnlyAfterALook()
    {
        Know("Alive 10.5");

        Tell("Dead 10.5");

        Assert.That(Believed(), Is.EqualTo("Alive 10.5"));
        var probe = Tick(1_000).First(send => send.Request is ProbeRequest request && request.Target == Peer);
        _swim.Replied(probe, new PeerFault(FaultKind.NotListening, ""), At(1_001));
        Assert.That(Believed(), Is.EqualTo("Dead 10.5"));
    }

    [Test]
    public void Dead_ToldOfOneThatAnswersHere_IsNotBelieved()
    {
        Know("Alive 10.5");
        Tell("Dead 10.5");

        var probe = Tick(1_000).First(send => send.Request is ProbeRequest request && request.Target == Peer);
        _swim.Replied(probe, new ProbeReply([Record("Alive 10.6")]), At(1_001));

        Assert.That(Believed(), Is.EqualTo("Alive 10.6"));
    }

    [TestCase("Dead 10.0")]
    [TestCase("Left 10.0")]
    public void Record_DeathOfAStranger_IsNotTakenIn(string told)
    {
        Tell(told);

        Assert.That(_swim.BuildView(At(0)).Find(Peer.Name), Is.Null);
    }

    [Test]
    public void Rumours_OfOneBelievedDead_CountOnlyWhereItSpeaksOfItself()
    {
        Know("Dead 10.5");
        var other = Record("Alive 10.0") with { Identity = new NodeIdentity(NodeName.Parse("other"), 1) };

        _swim.Gossiped(Peer, new GossipRequest([Record("Alive 10.5"), other]), At(1));
        Assert.That(_swim.BuildView(At(1)).Find(other.Identity.Name), Is.Null);

        _swim.Gossiped(Peer, new GossipRequest([Record("Alive 10.6"), other]), At(2));
        Assert.That(_swim.BuildView(At(2)).Find(other.Identity.Name), Is.Not.Null);
    }

    [Test]
    public void Accusation_OfThisNode_IsRefutedWithinTheSameIncarnation()
    {
        var accusation = _swim.Self with { State = MemberState.Suspect, Refutation = 7, Accuser = Teller.Name };
        _swim = New("self", Start);

        _swim.Gossiped(Teller, new GossipRequest([accusation with { Refutation = 0 }]), At(1));

        Assert.That(_swim.Self, Is.EqualTo(accusation with { State = MemberState.Alive, Refutation = 1, Accuser = default }));
    }

    [TestCase(MemberState.Dead, "elsewhere")]
    [TestCase(MemberState.Left, "elsewhere")]
    [TestCase(MemberState.Alive, "self")]
    public void OwnName_OfAPastLife_IsOutlivedAtOnce(MemberState state, string host)
    {
        var past = _swim.Self with { Identity = new NodeIdentity(_swim.Self.Identity.Name, Start + 500), State = state, Address = new(host, 7_600) };

        _swim.Exchanged(Teller, new ExchangeRequest([past]), At(1));

        Assert.That(_swim.Self.Identity.Incarnation, Is.EqualTo(Start + 501));
    }

    [TestCase(true)]
    [TestCase(false)]
    public void OwnName_OfAnotherAddress_YieldsOnlyToALiveProcess(bool isAlive)
    {
        var twin = _swim.Self with { Identity = new NodeIdentity(_swim.Self.Identity.Name, Start + 500), Address = new("elsewhere", 7_600) };
        _swim.Exchanged(Teller, new ExchangeRequest([twin]), At(1));
        var check = _swim.TakeEffects().Sends.Single(send => send.Kind == SendKind.NameCheck);

        _swim.Replied(check, isAlive ? new ProbeReply([twin]) : PeerFault.TimedOut, At(2));

        Assert.That(_swim.IsTakingPart, Is.EqualTo(!isAlive));
        Assert.That(_swim.Self.Identity.Incarnation, Is.EqualTo(isAlive ? Start : Start + 501));
    }

    [TestCase(3, 1, ExpectedResult = true)]
    [TestCase(3, 0, ExpectedResult = false)]
    [TestCase(6, 2, ExpectedResult = true)]
    [TestCase(6, 1, ExpectedResult = false)]
    public bool Refusal_ConfirmedByTwoOrByAllThereAre_IsDeathWithoutSuspicion(int members, int confirmations)
    {
        var others = Enumerable.Range(0, members - 2).Select(number => Record("Alive 10.0") with
        {
            Identity = new NodeIdentity(NodeName.Parse($"other{number}"), 1),
            Address = new($"other{number}", 1),
        });
        Know("Alive 10.5", [.. others]);
        _swim.Broke(new("peer", 7_600), At(10));
        var probe = _swim.TakeEffects().Sends.Single(send => send.Kind == SendKind.Probe);

        _swim.Replied(probe, new PeerFault(FaultKind.NotListening, ""), At(11));
        foreach (var (ask, number) in _swim.TakeEffects().Sends.Where(send => send.Kind == SendKind.IndirectProbe).Select((send, i) => (send, i)))
        {
            _swim.Replied(ask, new IndirectProbeReply(Reached: false, Refused: number < confirmations, []), At(12));
        }

        return Believed() == "Dead 10.5";
    }

    /// <summary>Its address refused this node, but in its last life: now it is a witness as good as any, without whom nobody is given up.</summary>
    [Test]
    public void Refusal_OfAWitnessInItsLastLife_DoesNotSpareAskingIt()
    {
        var witness = Record("Alive 10.0") with { Identity = new NodeIdentity(NodeName.Parse("witness"), 1), Address = new("witness", 1) };
        Know("Alive 10.5", witness);
        _swim.Broke(witness.Address, At(10));
        _swim.Replied(_swim.TakeEffects().Sends.Single(send => send.Kind == SendKind.Probe), new PeerFault(FaultKind.NotListening, ""), At(11));
        _swim.Gossiped(Teller, new GossipRequest([witness with { Identity = witness.Identity with { Incarnation = 2 } }]), At(12));
        _swim.TakeEffects();

        _swim.Broke(new("peer", 7_600), At(13));
        _swim.Replied(_swim.TakeEffects().Sends.Single(send => send.Kind == SendKind.Probe), new PeerFault(FaultKind.NotListening, ""), At(14));

        Assert.That(Believed(), Is.EqualTo("Alive 10.5"));
        Assert.That(_swim.TakeEffects().Sends.Single(send => send.Kind == SendKind.IndirectProbe).To, Is.EqualTo(witness.Address));
    }

    [Test]
    public void Sleep_OfThisNode_GivesSuspectsTheLostTimeBack()
    {
        Know("Suspect 10.5");
        Tick(1);

        _ = _swim.NextDue(At(2));
        Tick(60_000);
        Assert.That(Believed(), Is.EqualTo("Suspect 10.5"));
        Assert.That(_swim.HealthScore, Is.GreaterThan(0));
    }

    [Test]
    public void Dead_ForUpToAMinute_IsDialledEveryProbeInterval()
    {
        Know("Dead 10.5");

        var dialledAt = Enumerable.Range(1, 1_200).Select(i => i * 100L).Where(now => IsDialled(now, Record("Dead 10.5").Address)).ToArray();

        Assert.That(dialledAt, Is.EqualTo(Enumerable.Range(0, 60).Select(i => 100 + (1_000L * i))));
    }

    /// <summary>A process that came back under another name, perhaps this one: whoever answers there is known already.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void Dead_WhereSomebodyLivesAtItsAddress_IsNotDialled(bool isSelf)
    {
        var heir = Record("Alive 20.0") with { Identity = new NodeIdentity(NodeName.Parse("heir"), 20) };
        if (isSelf)
        {
            _swim = New("self", Start, "peer");
            Know("Dead 10.5");
        }
        else
        {
            Know("Dead 10.5", heir);
        }

        Assert.That(Enumerable.Range(1, 30).Count(i => IsDialled(i * 100, heir.Address)), Is.Zero);
    }

    /// <summary>A process that came back under another name, and tells its address in another way: whoever answers there is known after the first look.</summary>
    [Test]
    public void Dead_WhereAMemberOfAnotherAddressAnswers_IsSeldomDialledAgain()
    {
        var heir = Record("Alive 20.0") with { Identity = new NodeIdentity(NodeName.Parse("heir"), 20), Address = new("heir", 7_600) };
        Know("Dead 10.5", heir);
        var dials = 0;
        for (var now = 100; now <= 60_000; now += 100)
        {
            _swim.Heard(heir.Identity.Name, now);
            foreach (var dial in Tick(now).Where(send => send.Kind == SendKind.Exchange && send.To == Record("Dead 10.5").Address))
            {
                dials++;
                _swim.Replied(dial, new ExchangeReply([heir]), At(now));
            }
        }

        Assert.That(dials, Is.InRange(2, 15), "of 60: now and then, in case it is somebody else's by now");
        Assert.That(Enumerable.Range(0, 100).Count(i => _swim.Dial([], At(60_000)).Count > 0), Is.InRange(1, 25), "nor with the seeds");
    }

    /// <summary>
    /// Nobody counts but by having started with all others, a suspect too: when the others begin to count in their own right, it goes with them.
    /// </summary>
    [Test]
    public void Suspicion_WhileTheFirstSettleWindowEnds_TakesNobodyOutOfTheTable()
    {
        var teller = new MemberRecord(Teller, 0, MemberState.Alive, new("teller", 7_600), "", 1, UnsettledMilliseconds: 3_000);
        _swim.Exchanged(Teller, new ExchangeRequest([teller, Record("Alive 10.5") with { UnsettledMilliseconds = 3_000 }]), At(0));
        _swim.Gossiped(Teller, new GossipRequest([Record("Suspect 10.5")]), At(2_900));

        Tick(3_001);

        Assert.That(Counting(3_001), Is.EqualTo(new[] { "peer", "self", "teller" }));
        _swim.Gossiped(Peer, new GossipRequest([Record("Alive 10.6")]), At(3_100));
        Assert.That(Counting(3_100), Is.EqualTo(new[] { "peer", "self", "teller" }));
    }

    /// <summary>Where others count it is no member of the table yet, and has to show that it lives first.</summary>
    [Test]
    public void Suspicion_OfANewcomerWhereOthersCount_KeepsItOut()
    {
        Know("Alive 10.5", new MemberRecord(Teller, 0, MemberState.Alive, new("teller", 7_600), "", 1));
        var newcomer = Record("Alive 20.0") with { Identity = new NodeIdentity(NodeName.Parse("newcomer"), 20), Address = new("newcomer", 7_600) };
        _swim.Gossiped(Teller, new GossipRequest([newcomer]), At(100));
        _swim.Gossiped(Teller, new GossipRequest([newcomer with { State = MemberState.Suspect }]), At(2_900));

        Tick(3_101);

        Assert.That(Counting(3_101), Is.EqualTo(new[] { "peer", "self", "teller" }));
    }

    /// <summary>All have just started, and one of them has died again: another has seen it, this node has not.</summary>
    [Test]
    public void Exchange_WithOneThatBelievesAMemberDead_DoesNotMakeThatOneCountAlone()
    {
        var teller = new MemberRecord(Teller, 0, MemberState.Alive, new("teller", 7_600), "", 1, UnsettledMilliseconds: 3_000);
        _swim.Exchanged(Teller, new ExchangeRequest([teller, Record("Alive 10.5") with { UnsettledMilliseconds = 3_000 }]), At(0));

        _swim.Exchanged(Teller, new ExchangeRequest([teller, Record("Dead 10.5")]), At(1));

        Assert.That(Believed(), Is.EqualTo("Alive 10.5"), "it has not looked yet");
        Assert.That(Counting(1), Is.EqualTo(new[] { "peer", "self", "teller" }));
    }

    /// <summary>
    /// Who saw them all come counts them at that time, and so must a newcomer, or they own by different tables. Its own coming puts off whom it may, where it is
    /// new to them too.
    /// </summary>
    [TestCase(true, 2_000)]
    [TestCase(false, 3_000)]
    public void Newcomer_ThatIsToldHowLongOthersHaveToWait_CountsThemThen(bool isItsNameKnown, int expected)
    {
        var teller = new MemberRecord(Teller, 0, MemberState.Alive, new("teller", 7_600), "", 1);
        var longest = Record("Alive 1.0") with { Identity = new NodeIdentity(NodeName.Parse("longest"), 1), UnsettledMilliseconds = 300, WaitedMilliseconds = 8_700 };
        MemberRecord[] records = [teller, Record("Alive 10.5") with { UnsettledMilliseconds = 2_000 }, longest];
        if (isItsNameKnown)
        {
            // A rumour comes first, with which its search is over.
            _swim.Gossiped(Teller, new GossipRequest([teller]), At(0));
            _swim.EndJoin(At(0));
        }

        _swim.Exchanged(Teller, new ExchangeRequest(isItsNameKnown ? [.. records, _swim.Self] : records), At(0));

        var countsAt = new Dictionary<string, int>();
        for (var now = 0; now <= 4_000; now += 100)
        {
            Tick(now);
            Counting(now).Where(name => !countsAt.ContainsKey(name)).ToList().ForEach(name => countsAt.Add(name, now));
        }

        Assert.That(countsAt, Is.EquivalentTo(new Dictionary<string, int>
        {
            ["teller"] = 0,
            ["longest"] = 300,
            ["peer"] = expected,
            ["self"] = isItsNameKnown ? 0 : 3_000,
        }));
    }

    /// <summary>Back before anybody missed it: it keeps its place with the others, and so must it with itself.</summary>
    [TestCase(MemberState.Alive)]
    [TestCase(MemberState.Dead)]
    public void Newcomer_ToldFirstByOneWhoKnowsItsEarlierLife_WaitsForOneWhoKnowsThisLife(MemberState state)
    {
        var teller = new MemberRecord(Teller, 0, MemberState.Alive, new("teller", 7_600), "", 1);
        var peer = Record("Alive 10.5") with { UnsettledMilliseconds = 500 };
        var earlier = _swim.Self with { State = state, Identity = _swim.Self.Identity with { Incarnation = Start - 1 } };
        _swim.Exchanged(Teller, new ExchangeRequest([teller, peer, earlier]), At(0));
        Assert.That(Counting(0), Is.EqualTo(new[] { "peer", "self", "teller" }), "nobody for certain");

        Assert.That(_swim.TakeEffects().Sends.Single(send => send.Kind == SendKind.Exchange).To, Is.EqualTo(teller.Address), "it has to know");
        Assert.That(_swim.HasMet, Is.False);
        _swim.Exchanged(Teller, new ExchangeRequest([teller, peer, earlier]), At(0));
        Assert.That(_swim.TakeEffects().Sends.Where(send => send.Kind == SendKind.Exchange), Is.Empty, "once for each life");

        _swim.Exchanged(Teller, new ExchangeRequest([teller, peer, _swim.Self]), At(1));
        Assert.That(Counting(1), Is.EqualTo(new[] { "self", "teller" }));
        Tick(502);
        Assert.That(Counting(502), Is.EqualTo(new[] { "peer", "self", "teller" }));
    }

    /// <summary>It came back and met this node first: who has not heard of that yet keeps its place when he does.</summary>
    [Test]
    public void Newcomer_ToldByOneWhoKnowsAnotherInAnEarlierLife_CountsThatOneAsHeWill()
    {
        var teller = new MemberRecord(Teller, 0, MemberState.Alive, new("teller", 7_600), "", 1);
        _swim.Exchanged(Record("Alive 11.0").Identity, new ExchangeRequest([Record("Alive 11.0") with { UnsettledMilliseconds = 3_000 }]), At(0));

        _swim.Exchanged(Teller, new ExchangeRequest([teller, Record("Alive 10.5"), _swim.Self with { UnsettledMilliseconds = 3_000 }]), At(1));

        Assert.That(Counting(1), Is.EqualTo(new[] { "peer", "teller" }));
        Assert.That(Believed(), Is.EqualTo("Alive 11.0"));
    }

    /// <summary>Beside others, who own by the same table.</summary>
    [TestCase(500, true)]
    [TestCase(0, false)]
    public void Newcomer_ToldOfADeadOne_KeepsItsPlaceForAsLongAsTheOthersDo(int milliseconds, bool hasPlace)
    {
        var teller = new MemberRecord(Teller, 0, MemberState.Alive, new("teller", 7_600), "", 1);
        var dead = Record("Dead 10.5") with { UnsettledMilliseconds = milliseconds, WaitedMilliseconds = milliseconds == 0 ? 0 : 8_500 };

        _swim.Exchanged(Teller, new ExchangeRequest([teller, dead, _swim.Self]), At(0));

        Assert.That(Counting(0), Is.EqualTo(hasPlace ? new[] { "peer", "self", "teller" } : ["self", "teller"]));
        Tick(501);
        Assert.That(Counting(501), Is.EqualTo(new[] { "self", "teller" }));
    }

    /// <summary>It owned nothing while it lived.</summary>
    [Test]
    public void Newcomer_ToldOfOneWhoDiedInQuarantine_DoesNotCountIt()
    {
        const int Quarantine = 200_000;
        var teller = new MemberRecord(Teller, 0, MemberState.Alive, new("teller", 7_600), "", 1);
        _swim.Exchanged(Teller, new ExchangeRequest([teller, Record("Alive 10.5") with { UnsettledMilliseconds = Quarantine }, _swim.Self]), At(0));
        Tell("Suspect 10.5");
        Tell("Dead 10.5");
        Assert.That(Counting(1), Is.EqualTo(new[] { "self", "teller" }));

        var newcomer = New("newcomer", Start);
        var reply = (ExchangeReply)_swim.Exchanged(newcomer.Self.Identity, new ExchangeRequest([newcomer.Self]), At(1));

        Assert.That(reply.Members.Single(member => member.Identity.Name == Peer.Name), Has.Property("State").EqualTo(MemberState.Dead).And.Property("IsDeadInPlace").False);
    }

    /// <summary>A newcomer does not count yet; it must not wait for what it would get from the dead.</summary>
    [Test]
    public void Dead_WhereNobodyElseCountsYet_LeavesItsPlaceAtOnce()
    {
        Know("Alive 10.5");
        Assert.That(Counting(0), Is.EqualTo(new[] { "peer" }));

        Tell("Suspect 10.5");
        Assert.That(Counting(1), Is.EqualTo(new[] { "peer" }));
        Tell("Dead 10.5");
        Assert.That(Counting(1), Is.EqualTo(new[] { "self" }));
    }

    /// <summary>Another member had that address, and moved.</summary>
    [Test]
    public void Dead_WhereItAnsweredItselfAfterAnother_IsDialledEveryProbeInterval()
    {
        var moved = Record("Alive 20.0") with { Identity = new NodeIdentity(NodeName.Parse("moved"), 20), Address = new("elsewhere", 7_600) };
        var peer = Record("Alive 10.5");
        var dial = _swim.ExchangeWith(peer.Address, At(0));
        _swim.Replied(dial, new ExchangeReply([moved]), At(0));
        _swim.Replied(dial, new ExchangeReply([peer]), At(0));
        Know("Dead 10.5");

        Assert.That(Enumerable.Range(1, 200).Count(i => IsDialled(i * 100, peer.Address)), Is.EqualTo(20));
    }

    [Test]
    public void Silence_OfASuspect_EndsAtTheMinimumWhereNobodyElseCouldAccuse()
    {
        Know("Suspect 10.5");

        Tick(3_999);
        Assert.That(Believed(), Is.EqualTo("Suspect 10.5"));
        Tick(4_001);
        Assert.That(Believed(), Is.EqualTo("Dead 10.5"));
    }

    private static IEnumerable<TestCaseData> Unbelievable()
    {
        var good = Record("Alive 10.0");
        yield return new TestCaseData(good with { Identity = good.Identity with { Incarnation = Start + SwimTiming.MaximumIncarnationLead + 1_000 } })
            .Returns(Disbelief.IncarnationTooFarAhead).SetArgDisplayNames("incarnation");
        yield return new TestCaseData(good with { Identity = good.Identity with { Name = default } }).Returns(Disbelief.Malformed).SetArgDisplayNames("name");
        yield return new TestCaseData(good with { State = (MemberState)9 }).Returns(Disbelief.Malformed).SetArgDisplayNames("state");
        yield return new TestCaseData(good with { Address = default }).Returns(Disbelief.Malformed).SetArgDisplayNames("address");
        yield return new TestCaseData(good with { Address = new("peer", 0) }).Returns(Disbelief.Malformed).SetArgDisplayNames("port");
        yield return new TestCaseData(good with { Zone = new string('z', 65) }).Returns(Disbelief.Malformed).SetArgDisplayNames("zone");
        yield return new TestCaseData(good with { ReplicaCount = 8 }).Returns(Disbelief.Malformed).SetArgDisplayNames("replicas");
        yield return new TestCaseData(good with { UnsettledMilliseconds = -1 }).Returns(Disbelief.Malformed).SetArgDisplayNames("unsettled");
        yield return new TestCaseData(good with { WaitedMilliseconds = -1 }).Returns(Disbelief.Malformed).SetArgDisplayNames("waited");
    }

    [TestCaseSource(nameof(Unbelievable))]
    public object Record_ThatCannotBe_IsRefusedAndCounted(object record)
    {
        _swim.Gossiped(Teller, new GossipRequest([(MemberRecord)record]), At(1));

        Assert.That(_swim.BuildView(At(1)).Members, Has.Length.EqualTo(1));
        return _swim.TakeEffects().Disbeliefs.Single();
    }

    [TestCase(65, false)]
    [TestCase(1_000_000, true)]
    public void Message_WithTooManyRecords_IsRefusedWhole(int count, bool isExchange)
    {
        var records = Enumerable.Repeat(Record("Alive 10.0"), count).ToArray();

        var reply = isExchange
            ? _swim.Exchanged(Teller, new ExchangeRequest(records), At(1))
            : _swim.Gossiped(Teller, new GossipRequest(records), At(1));

        Assert.That(reply, Is.InstanceOf<PeerFault>());
        Assert.That(_swim.BuildView(At(1)).Members, Has.Length.EqualTo(1));
        Assert.That(_swim.TakeEffects().Disbeliefs, Is.EqualTo(new[] { Disbelief.TooManyRecords }));
    }

    [Test]
    public void OwnName_MoreThanADayAhead_IsNeitherOutlivedNorYieldedTo()
    {
        var wrong = _swim.Self with { Identity = _swim.Self.Identity with { Incarnation = Start + (2 * SwimTiming.MaximumIncarnationLead) } };

        _swim.Exchanged(Teller, new ExchangeRequest([wrong]), At(1));
        _swim.Probed(Teller, new ProbeRequest(wrong.Identity, []), At(1));

        Assert.That(_swim.Self.Identity.Incarnation, Is.EqualTo(Start));
        Assert.That(
            _swim.TakeEffects().Disbeliefs,
            Is.EqualTo(new[] { Disbelief.IncarnationTooFarAhead, Disbelief.IncarnationTooFarAhead }),
            "the record, and the target of the probe");
    }

    private static Swim New(string name, long incarnation, string? host = null)
    {
        var settings = new MembershipSettings(NodeName.Parse(name), new(host ?? name, 7_600), "", 1, ClusterProfile.Lan, TimeSpan.FromSeconds(5));
        return new Swim(settings, incarnation, new Random(1), At(0));
    }

    private static Moment At(long elapsed) => new(elapsed, Start + elapsed);

    /// <summary>"State incarnation.refutation".</summary>
    private static MemberRecord Record(string text)
    {
        var parts = text.Split(' ', '.');
        var identity = Peer with { Incarnation = long.Parse(parts[1], null) };
        return new MemberRecord(identity, uint.Parse(parts[2], null), Enum.Parse<MemberState>(parts[0]), new("peer", 7_600), "", 1);
    }

    private void Know(string text, params MemberRecord[] others)
    {
        var record = Record(text);
        var alive = record with { State = MemberState.Alive };
        _swim.Exchanged(Teller, new ExchangeRequest([alive, .. others]), At(0));
        if (record.State == MemberState.Dead)
        {
            // A death is believed at once only of a suspect.
            _swim.Gossiped(Teller, new GossipRequest([record with { State = MemberState.Suspect }]), At(0));
        }

        _swim.Gossiped(Teller, new GossipRequest([record]), At(0));
        _swim.TakeEffects();
        Assert.That(Believed(), Is.EqualTo(text));
    }

    private void Tell(string text) => _swim.Gossiped(Teller, new GossipRequest([Record(text)]), At(1));

    private List<SwimSend> Tick(long elapsed)
    {
        _swim.Tick(At(elapsed));
        return _swim.TakeEffects().Sends;
    }

    private bool IsDialled(long elapsed, PeerAddress address) => Tick(elapsed).Any(send => send.Kind == SendKind.Exchange && send.To == address);

    private string[] Counting(long elapsed) => [.. _swim.BuildView(At(elapsed)).Members.Where(member => member.IsSettled).Select(member => $"{member.Name}")];

    private string Believed()
    {
        var record = _swim.BuildView(At(0)).Find(Peer.Name)!.Record;
        return $"{record.State} {record.Identity.Incarnation}.{record.Refutation}";
    }
}
