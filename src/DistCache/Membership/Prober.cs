using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>One question "are you there?": asked directly, then through helpers, answered or given up when its interval is over.</summary>
internal sealed class Probe(NodeIdentity target, PeerAddress address, long helpersAt, long endsAt)
{
    public NodeIdentity Target { get; } = target;

    public PeerAddress Address { get; } = address;

    /// <summary>When helpers are asked at the latest.</summary>
    public long HelpersAt { get; } = helpersAt;

    public long EndsAt { get; } = endsAt;

    public HashSet<NodeName> Helpers { get; } = [];

    public bool AreHelpersAsked { get; set; }

    public bool IsDirectOver { get; set; }

    /// <summary>This node itself was refused.</summary>
    public bool IsRefused { get; set; }

    public int HelpersAnswered { get; set; }

    public int HelpersSilent { get; set; }

    public int HelpersRefused { get; set; }

    public bool IsOver => IsDirectOver && AreHelpersAsked && HelpersAnswered + HelpersSilent == Helpers.Count;
}

/// <summary>
/// Finds out who answers (SWIM, Das et al. 2002, with Lifeguard's patience). At most one probe a member runs at a time.
/// </summary>
internal sealed class Prober(
    Beliefs beliefs, MessageComposer composer, SwimTiming timing, LocalHealth health, SwimEffects effects, Random random)
{
    /// <summary>Doubts looked into at once: after a split heals there may be one for each member.</summary>
    private const int MaximumDoubtsPerTurn = 32;

    private readonly ProbeOrder _order = new(random);
    private readonly Dictionary<NodeName, Probe> _running = [];

    public long NextDue => _running.Count == 0
        ? long.MaxValue
        : _running.Values.Min(probe => probe.AreHelpersAsked ? probe.EndsAt : probe.HelpersAt);

    /// <summary>Probes the next member of the round that has not been heard of lately anyway.</summary>
    public void StartNext(long now)
    {
        if (_order.Next(beliefs.LiveOthers.Select(entry => entry.Name)) is { } name && beliefs.Find(name) is { } entry && !IsFresh(entry, now))
        {
            Start(entry, now);
        }
    }

    public void Start(MemberEntry entry, long now)
    {
        if (_running.ContainsKey(entry.Name))
        {
            return;
        }

        var interval = timing.ProbeInterval * health.Multiplier;
        var probe = new Probe(entry.Record.Identity, entry.Record.Address, now + (timing.ProbeTimeout * health.Multiplier), now + interval);
        _running.Add(entry.Name, probe);
        var records = composer.Compose(entry.Name, entry.Record.Identity.Incarnation, now);
        effects.Sends.Add(new SwimSend(SendKind.Probe, probe.Address, new ProbeRequest(probe.Target, records), interval, Probe: probe));
    }

    /// <summary>Looks into a few of the members in doubt.</summary>
    public void LookIntoDoubts(long now)
    {
        foreach (var name in beliefs.Doubts.Take(MaximumDoubtsPerTurn).ToArray())
        {
            beliefs.Doubts.Remove(name);
            if (beliefs.Find(name) is { State: not MemberState.Left } entry && entry != beliefs.Self)
            {
                Start(entry, now);
            }
        }
    }

    public void Tick(long now)
    {
        foreach (var probe in _running.Values.ToArray())
        {
            if (probe.EndsAt <= now)
            {
                Conclude(probe, now);
            }
            else if (probe.HelpersAt <= now)
            {
                AskHelpers(probe, now);
            }
        }
    }

    /// <summary>This node slept: what did not arrive meanwhile proves nothing.</summary>
    public void AbandonAll() => _running.Clear();

    /// <summary>The rumours of <paramref name="reply"/> have been merged already.</summary>
    public void Replied(SwimSend send, PeerReply reply, long now)
    {
        var probe = send.Probe!;
        if (!_running.TryGetValue(probe.Target.Name, out var running) || running != probe)
        {
            return;
        }

        if (beliefs.Find(probe.Target.Name)?.Record.Identity != probe.Target)
        {
            // The member started anew meanwhile: this was a question about its last life.
            _running.Remove(probe.Target.Name);
            return;
        }

        if (send.Kind == SendKind.Probe)
        {
            RepliedDirectly(probe, reply, now);
        }
        else
        {
            RepliedByHelper(probe, send.Helper, reply, now);
        }

        if (_running.ContainsValue(probe))
        {
            Judge(probe, now);
        }
    }

    /// <summary>Whether a reply shows that <paramref name="target"/>, and nobody else, answered at its address.</summary>
    public static bool IsAnswerOf(NodeIdentity target, PeerReply reply) =>
        reply is ProbeReply { Rumours: [var first, ..] } && first.Identity.Name == target.Name;

    /// <summary>Whether a reply shows that the target is not where it was.</summary>
    public static bool IsRefusal(NodeIdentity target, PeerReply reply) =>
        reply is PeerFault { Kind: FaultKind.NotListening or FaultKind.Self }
        || (reply is ProbeReply { Rumours: [var first, ..] } && first.Identity.Name != target.Name);

    private void RepliedDirectly(Probe probe, PeerReply reply, long now)
    {
        probe.IsDirectOver = true;
        if (IsAnswerOf(probe.Target, reply))
        {
            Acknowledge(probe);
            return;
        }

        if (IsRefusal(probe.Target, reply))
        {
            probe.IsRefused = true;
            var entry = beliefs.Find(probe.Target.Name)!;
            entry.RefusedAt = now;
            if (entry.IsClaimedDead)
            {
                // The claim and our own refusal are enough.
                return;
            }
        }

        AskHelpers(probe, now);
    }

    private void RepliedByHelper(Probe probe, NodeName helper, PeerReply reply, long now)
    {
        if (reply is IndirectProbeReply answer)
        {
            probe.HelpersAnswered++;
            probe.HelpersRefused += answer.Refused ? 1 : 0;
            if (answer.Reached)
            {
                Acknowledge(probe);
            }

            return;
        }

        // A helper that is silent itself is the next to be looked at: so a node that lost many members at once finds out at once.
        probe.HelpersSilent++;
        beliefs.Doubts.Add(helper);
        if (reply is PeerFault { Kind: FaultKind.NotListening } && beliefs.Find(helper) is { } entry)
        {
            entry.RefusedAt = now;
            AskHelper(probe, now);
        }
    }

    private void Acknowledge(Probe probe)
    {
        _running.Remove(probe.Target.Name);
        health.Improve();
        var entry = beliefs.Find(probe.Target.Name)!;
        entry.IsClaimedDead = false;
        entry.RefusedAt = long.MinValue;
        if (entry.State == MemberState.Leaving)
        {
            entry.Suspicion = null;
        }
    }

    private void AskHelpers(Probe probe, long now)
    {
        if (probe.AreHelpersAsked)
        {
            return;
        }

        probe.AreHelpersAsked = true;
        for (var i = 0; i < SwimTiming.IndirectProbes; i++)
        {
            AskHelper(probe, now);
        }
    }

    private void AskHelper(Probe probe, long now)
    {
        var candidates = Witnesses(probe, now).Where(entry => !probe.Helpers.Contains(entry.Name)).ToArray();
        if (candidates.Length == 0)
        {
            return;
        }

        var helper = candidates[random.Next(candidates.Length)];
        probe.Helpers.Add(helper.Name);
        var records = composer.Compose(helper.Name, helper.Record.Identity.Incarnation, now);
        var request = new IndirectProbeRequest(probe.Target, probe.Address, records);
        effects.Sends.Add(
            new SwimSend(SendKind.IndirectProbe, helper.Record.Address, request, Math.Max(1, probe.EndsAt - now), Probe: probe, Helper: helper.Name));
    }

    private IEnumerable<MemberEntry> Witnesses(Probe probe, long now) => beliefs.LiveOthers.Where(entry =>
        entry.State == MemberState.Alive && entry.Name != probe.Target.Name && entry.RefusedAt <= now - (2 * timing.ProbeInterval));

    private void Judge(Probe probe, long now)
    {
        var entry = beliefs.Find(probe.Target.Name)!;
        var needed = Math.Min(SwimTiming.RefusalConfirmations, Witnesses(probe, now).Count());
        if (probe.IsRefused && (entry.IsClaimedDead || probe.HelpersRefused >= needed))
        {
            _running.Remove(probe.Target.Name);
            End(entry, "its address refuses connections", now);
        }
        else if (probe.IsOver)
        {
            Conclude(probe, now);
        }
    }

    /// <summary>Nobody reached it.</summary>
    private void Conclude(Probe probe, long now)
    {
        _running.Remove(probe.Target.Name);
        var entry = beliefs.Find(probe.Target.Name);
        if (entry is null || entry.Record.Identity != probe.Target)
        {
            return;
        }

        if (!probe.IsRefused)
        {
            // Helpers that answered "no" show that this node hears well; silent ones, or none to ask, that perhaps it does not. One
            // against the other: where two died at once, each is asked about the other, and that is no fault of this node.
            var silent = probe.Helpers.Count - probe.HelpersAnswered;
            health.Worsen(probe.Helpers.Count == 0 ? 1 : Math.Max(0, silent - probe.HelpersAnswered));
        }

        if (!entry.IsLive || IsFresh(entry, now))
        {
            return;
        }

        if (entry.IsClaimedDead)
        {
            End(entry, "others gave it up, and it does not answer here either", now);
        }
        else
        {
            beliefs.Accuse(entry, beliefs.Self.Name, now);
        }
    }

    private void End(MemberEntry entry, string why, long now)
    {
        if (entry.State == MemberState.Leaving)
        {
            beliefs.Part(entry, $"it was leaving, and {why}", now);
        }
        else if (entry.IsLive)
        {
            beliefs.Bury(entry, why, now);
        }
    }

    private bool IsFresh(MemberEntry entry, long now) => entry.State == MemberState.Alive && entry.HeardAt > now - timing.ProbeInterval;
}
