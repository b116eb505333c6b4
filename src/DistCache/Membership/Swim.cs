using System.Collections.Immutable;
using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>
/// The membership protocol (SWIM with Lifeguard, docs/membership.md), decided without a clock, a task or a lock: a message, a reply or
/// a tick and the moment go in; requests to send, and changes, come out through <see cref="TakeEffects"/>. Not thread-safe.
/// </summary>
internal sealed class Swim
{
    private readonly SwimTiming _timing;
    private readonly Random _random;
    private readonly RumourQueue _rumours = new();
    private readonly LocalHealth _health = new();
    private readonly SwimEffects _effects = new();
    private readonly MessageComposer _composer;
    private readonly Beliefs _beliefs;
    private readonly Prober _prober;
    private readonly NameGuard _nameGuard;
    private readonly Inbox _inbox;
    private readonly DialPlan _dialPlan;
    private long _nextProbe;
    private long _nextGossip;
    private long _nextExchange;
    private long _nextRedial;
    private long _nextLook;

    /// <summary>Who was asked whether this node still counts.</summary>
    private PeerAddress? _question;

    /// <summary>When the shell was asked to wake this node; what comes much later shows that the node slept.</summary>
    private long _wakeAt = long.MaxValue;

    public Swim(MembershipSettings settings, long incarnation, Random random, Moment now)
    {
        _timing = SwimTiming.Of(settings.Profile);
        _random = random;
        var identity = new NodeIdentity(settings.Name, incarnation);
        var self = new MemberRecord(identity, 0, MemberState.Alive, settings.Address, settings.Zone, settings.ReplicaCount);
        _beliefs = new Beliefs(self, _timing, _rumours, _health, _effects, random, now.Elapsed);
        _composer = new MessageComposer(_beliefs, _rumours);
        _prober = new Prober(_beliefs, _composer, _timing, _health, _effects, random);
        _nameGuard = new NameGuard(_beliefs, _timing, _effects);
        _inbox = new Inbox(_beliefs, _nameGuard, _effects);
        _dialPlan = new DialPlan(_beliefs, random);
        _nextProbe = now.Elapsed + random.NextInt64(_timing.ProbeInterval);
        _nextGossip = now.Elapsed + random.NextInt64(_timing.GossipInterval);
        _nextExchange = now.Elapsed + Jittered(_timing.ExchangeInterval);
        _nextRedial = now.Elapsed + Jittered(_timing.RedialInterval);
    }

    public MemberRecord Self => _beliefs.Self.Record;

    public bool HasOthers => _beliefs.LiveOthers.Any();

    /// <summary>It found others, who may be as new as itself, and nothing about its name or its life is open.</summary>
    public bool HasMet => HasOthers && _beliefs.Namesake is null && _question is null;

    /// <summary>And somebody who lives counts for the table.</summary>
    public bool HasJoined => HasMet && _beliefs.Entries.Any(static entry => entry is { IsSettled: true, IsLive: true });

    /// <summary>0 is well; see <see cref="LocalHealth"/>.</summary>
    public int HealthScore => _health.Score;

    /// <summary>This node takes part: it neither left nor lost its name to another process.</summary>
    public bool IsTakingPart => !_nameGuard.IsNameLost && Self.State != MemberState.Left;

    /// <summary>When <see cref="Tick"/> wants to be called next, in elapsed milliseconds.</summary>
    public long NextDue(Moment now)
    {
        _wakeAt = IsTakingPart ? Math.Max(now.Elapsed, EarliestDue(now.Elapsed)) : long.MaxValue;
        return _wakeAt;
    }

    public SwimEffects TakeEffects() => _effects.Take();

    public MembershipView BuildView(Moment now)
    {
        var settled = Settling.SettledNames(_beliefs.Entries, now.Elapsed);
        var members = _beliefs.Entries
            .Select(entry => new Member(entry.Record, settled.Contains(entry.Name)))
            .OrderBy(member => member.Name)
            .ToImmutableArray();
        return new MembershipView(members.First(member => member.Name == Self.Identity.Name), members);
    }

    public void Tick(Moment now)
    {
        NoticeSleep(now.Elapsed);
        if (!IsTakingPart)
        {
            return;
        }

        _prober.Tick(now.Elapsed);
        EndSuspicions(now.Elapsed);
        Settle(now.Elapsed);
        if (_nextProbe <= now.Elapsed)
        {
            _nextProbe = now.Elapsed + (_timing.ProbeInterval * _health.Multiplier);
            _prober.StartNext(now.Elapsed);
        }

        if (_nextGossip <= now.Elapsed)
        {
            _nextGossip = now.Elapsed + _timing.GossipInterval;
            _prober.LookIntoDoubts(now.Elapsed);
            Gossip(now.Elapsed);
        }

        if (_nextExchange <= now.Elapsed)
        {
            _nextExchange = now.Elapsed + Jittered(_timing.ExchangeInterval);
            _beliefs.Reap(now.Elapsed);
            ExchangeWithAnyone(now.Elapsed);
        }

        if (_nextLook <= now.Elapsed)
        {
            _nextLook = now.Elapsed + _timing.ProbeInterval;
            _effects.Sends.AddRange(_dialPlan.ChooseDead(now.Elapsed).Select(address => ExchangeWith(address, now.Elapsed)));
        }

        if (_nextRedial <= now.Elapsed)
        {
            _nextRedial = now.Elapsed + Jittered(_timing.RedialInterval);
            _effects.IsRedialDue = true;
        }
    }

    public PeerReply Probed(NodeIdentity from, ProbeRequest request, Moment now)
    {
        NoticeSleep(now.Elapsed);
        _nameGuard.Addressed(request.Target, now);
        return Answer(from, request.Rumours, now);
    }

    public PeerReply Gossiped(NodeIdentity from, GossipRequest request, Moment now)
    {
        NoticeSleep(now.Elapsed);
        return Answer(from, request.Rumours, now);
    }

    public PeerReply Exchanged(NodeIdentity from, ExchangeRequest request, Moment now)
    {
        NoticeSleep(now.Elapsed);
        var fault = _inbox.MergeExchange(request.Members, from, now);
        AskWhoKnewAnEarlierLife(now.Elapsed);
        return fault ?? (PeerReply)new ExchangeReply(_composer.ComposeAll(now.Elapsed));
    }

    /// <summary>The probe that a helper is to send on behalf of <paramref name="from"/>.</summary>
    public SwimSend AskedToProbe(NodeIdentity from, IndirectProbeRequest request, Moment now)
    {
        NoticeSleep(now.Elapsed);
        _inbox.Merge(request.Rumours, from, now);
        var records = _composer.Compose(request.Target.Name, request.Target.Incarnation, now.Elapsed);
        return new SwimSend(SendKind.Probe, request.Address, new ProbeRequest(request.Target, records), _timing.HelperTimeout);
    }

    /// <summary>What a helper answers when it has heard of the target, or not.</summary>
    public IndirectProbeReply AnswerFor(NodeIdentity from, NodeIdentity target, PeerReply reply, Moment now)
    {
        NoticeSleep(now.Elapsed);
        _inbox.MergeReply(reply, now);
        var records = _composer.Compose(from.Name, from.Incarnation, now.Elapsed);
        return new IndirectProbeReply(Prober.IsAnswerOf(target, reply), Prober.IsRefusal(target, reply), records);
    }

    /// <summary>The reply to one of <see cref="SwimEffects.Sends"/>.</summary>
    public void Replied(SwimSend send, PeerReply reply, Moment now)
    {
        NoticeSleep(now.Elapsed);
        if (reply is PeerFault && send.Told is { } told)
        {
            _rumours.GiveBack(told, _beliefs.LiveCount);
        }

        if (!IsTakingPart)
        {
            return;
        }

        _question = send.To == _question && send.Kind == SendKind.Exchange ? null : _question;
        _inbox.MergeReply(reply, now);
        AskWhoKnewAnEarlierLife(now.Elapsed);
        switch (send.Kind)
        {
            case SendKind.Probe or SendKind.IndirectProbe when send.Probe is not null:
                _prober.Replied(send, reply, now.Elapsed);
                break;
            case SendKind.Exchange:
                _dialPlan.Answered(send.To, reply);
                break;
            case SendKind.NameCheck:
                _nameGuard.Replied(reply, now);
                break;
        }
    }

    /// <summary>A lane to this address broke or could not be dialled.</summary>
    public void Broke(PeerAddress address, Moment now)
    {
        NoticeSleep(now.Elapsed);
        if (IsTakingPart && _beliefs.LiveOthers.FirstOrDefault(entry => entry.Record.Address == address) is { } entry)
        {
            _prober.Start(entry, now.Elapsed);
        }
    }

    /// <summary>The member answered on the data lane at <paramref name="at"/>, in elapsed milliseconds.</summary>
    public void Heard(NodeName name, long at)
    {
        if (_beliefs.Find(name) is { } entry)
        {
            entry.HeardAt = Math.Max(entry.HeardAt, at);
        }
    }

    /// <summary>The full exchanges to try with those of the seeds that are worth a dial.</summary>
    public IReadOnlyList<SwimSend> Dial(IEnumerable<PeerAddress> seeds, Moment now) =>
        [.. _dialPlan.Choose(seeds).Select(address => ExchangeWith(address, now.Elapsed))];

    public SwimSend ExchangeWith(PeerAddress address, Moment now) => ExchangeWith(address, now.Elapsed);

    /// <summary>The search for the cluster is over; a node that found nobody owns everything.</summary>
    public void EndJoin(Moment now)
    {
        var self = _beliefs.Self;
        if (!HasOthers && !self.IsSettled)
        {
            Settling.Count(self);
            _effects.IsViewStale = true;
        }
        else if (self.UnsettledSince is null)
        {
            // It was found by others before any exchange of its own.
            _beliefs.Settling.Note(self, now.Elapsed);
        }
    }

    /// <summary>This node dropped all that it held, and takes another incarnation.</summary>
    public void BeginAnew(Moment now)
    {
        if (IsTakingPart)
        {
            _beliefs.Outlive(_beliefs.Self.Record.Identity.Incarnation, now.Elapsed, "it begins anew");
        }
    }

    /// <summary>Announces to every member that this node is leaving, or has left.</summary>
    public IReadOnlyList<SwimSend> Leave(MemberState state, Moment now)
    {
        if (!IsTakingPart)
        {
            return [];
        }

        _beliefs.LeaveSelf(state, now.Elapsed);
        return [.. _beliefs.LiveOthers.Select(entry => GossipTo(entry, now.Elapsed))];
    }

    private PeerReply Answer(NodeIdentity from, IReadOnlyList<MemberRecord> rumours, Moment now) =>
        _inbox.Merge(rumours, from, now) ?? (PeerReply)new ProbeReply(_composer.Compose(from.Name, from.Incarnation, now.Elapsed));

    private void AskWhoKnewAnEarlierLife(long now)
    {
        if (_inbox.TakeWhoKnewAnEarlierLife() is { } address)
        {
            _question = address;
            _effects.Sends.Add(ExchangeWith(address, now));
        }
    }

    private void EndSuspicions(long now)
    {
        foreach (var entry in _beliefs.Entries.Where(entry => entry.Suspicion is not null && _beliefs.SuspicionDeadline(entry, now) <= now).ToArray())
        {
            _beliefs.Bury(entry, "it stayed silent", now);
        }
    }

    private void Settle(long now)
    {
        var recently = now - (2 * _timing.SuspicionMaximum(_beliefs.LiveCount));
        var lost = _beliefs.Entries.Count(entry => entry.State == MemberState.Dead && entry.Since > recently);
        var isMajority = _beliefs.LiveCount > lost;
        var countedAll = !Settling.IsAnybodySettled(_beliefs.Entries, now);
        foreach (var entry in _beliefs.Entries)
        {
            var wasQuarantined = entry.QuarantinedUntil != long.MinValue && entry.QuarantinedUntil <= now;
            if (wasQuarantined)
            {
                entry.QuarantinedUntil = long.MinValue;
            }

            _effects.IsViewStale |= _beliefs.Settling.Settle(entry, isMajority, withSuspects: false, now) || wasQuarantined;
        }

        // Suspects counted as all did; where the others now count in their own right, they must not fall out.
        if (countedAll && Settling.IsAnybodySettled(_beliefs.Entries, now))
        {
            foreach (var entry in _beliefs.Entries)
            {
                _beliefs.Settling.Settle(entry, isMajority, withSuspects: true, now);
            }
        }
    }

    private void Gossip(long now)
    {
        if (!_composer.HasNews)
        {
            return;
        }

        var others = _beliefs.LiveOthers.ToArray();
        _random.Shuffle(others);
        foreach (var entry in others.Take(SwimTiming.FanOut))
        {
            if (_composer.HasNews)
            {
                _effects.Sends.Add(GossipTo(entry, now));
            }
        }
    }

    private SwimSend GossipTo(MemberEntry entry, long now)
    {
        var records = _composer.ComposeGossip(entry, out var told, now);
        return new SwimSend(SendKind.Gossip, entry.Record.Address, new GossipRequest(records), _timing.ProbeInterval, told);
    }

    private void ExchangeWithAnyone(long now)
    {
        var others = _beliefs.LiveOthers.ToArray();
        if (others.Length > 0)
        {
            _effects.Sends.Add(ExchangeWith(others[_random.Next(others.Length)].Record.Address, now));
        }
    }

    private SwimSend ExchangeWith(PeerAddress address, long now) =>
        new(SendKind.Exchange, address, new ExchangeRequest(_composer.ComposeAll(now)), 2 * _timing.ProbeInterval);

    /// <summary>
    /// A node that was stopped, or starved of processor time, missed answers and refutations: its probes prove nothing, its suspicions
    /// get the lost time back, and it trusts itself less for a while.
    /// </summary>
    private void NoticeSleep(long now)
    {
        var slept = _wakeAt == long.MaxValue ? 0 : now - _wakeAt;
        if (slept <= _timing.ProbeTimeout / 2)
        {
            return;
        }

        _wakeAt = now;
        _health.Worsen(1 + (int)Math.Min(SwimTiming.HealthMaximum, slept / _timing.ProbeInterval));
        _prober.AbandonAll();
        foreach (var entry in _beliefs.Entries)
        {
            entry.Suspicion?.Postpone(slept);
        }
    }

    private long EarliestDue(long now)
    {
        var due = Math.Min(Math.Min(_nextProbe, _nextExchange), Math.Min(_nextRedial, _prober.NextDue));
        if ((_composer.HasNews && HasOthers) || _beliefs.Doubts.Count > 0)
        {
            due = Math.Min(due, _nextGossip);
        }

        foreach (var entry in _beliefs.Entries)
        {
            due = entry.IsRecentlyDead(now) ? Math.Min(due, _nextLook) : due;
            due = Math.Min(due, _beliefs.Settling.NextDue(entry, now));
            if (entry.Suspicion is not null)
            {
                due = Math.Min(due, _beliefs.SuspicionDeadline(entry, now));
            }
        }

        return due;
    }

    /// <summary>± 50 %, so that nodes that started together do not stay in step.</summary>
    private long Jittered(long interval) => (interval / 2) + _random.NextInt64(interval);
}
