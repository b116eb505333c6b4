using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>Which addresses are worth a dial: not this node's own, nor those of members that are here anyway.</summary>
internal sealed class DialPlan(Beliefs beliefs, Random random)
{
    /// <summary>Seeds dialled at once by a node that has company: a name may stand for hundreds.</summary>
    private const int MaximumDials = 16;

    /// <summary>One dial in so many goes to an address that was a member's last time, in case it is somebody else's now.</summary>
    private const int AliasRecheck = 10;

    private const int MaximumAliases = 1_024;

    /// <summary>Who answered at an address that is not the one that it advertises: an IP address for a name, say.</summary>
    private readonly Dictionary<PeerAddress, NodeName> _aliases = [];

    /// <summary>
    /// The seeds to dial, and one of the dead: a cut may have left all seeds on one side, and the other side's nodes in nobody's list.
    /// </summary>
    public IReadOnlyCollection<PeerAddress> Choose(IEnumerable<PeerAddress> seeds)
    {
        var unknown = WorthADial(seeds);
        random.Shuffle(unknown);
        var chosen = unknown.Take(beliefs.LiveOthers.Any() ? MaximumDials : unknown.Length).ToHashSet();
        var dead = WorthADial(beliefs.Entries.Where(entry => entry.State == MemberState.Dead).Select(entry => entry.Record.Address));
        if (dead.Length > 0)
        {
            chosen.Add(dead[random.Next(dead.Length)]);
        }

        return chosen;
    }

    /// <summary>A few of those that were given up lately.</summary>
    public IEnumerable<PeerAddress> ChooseDead(long now)
    {
        var dead = WorthADial(beliefs.Entries.Where(entry => entry.IsRecentlyDead(now)).Select(entry => entry.Record.Address));
        if (dead.Length > SwimTiming.FanOut)
        {
            random.Shuffle(dead);
        }

        return dead.Take(SwimTiming.FanOut);
    }

    public void Answered(PeerAddress dialled, PeerReply reply)
    {
        if (reply is not ExchangeReply { Members: [var first, ..] })
        {
            return;
        }

        if (first.Address == dialled)
        {
            _aliases.Remove(dialled);
            return;
        }

        if (_aliases.Count >= MaximumAliases)
        {
            _aliases.Clear();
        }

        _aliases[dialled] = first.Identity.Name;
    }

    /// <summary>Not where somebody lives who is known, by whichever address.</summary>
    private PeerAddress[] WorthADial(IEnumerable<PeerAddress> addresses)
    {
        HashSet<PeerAddress> inhabited = [.. beliefs.LiveOthers.Select(entry => entry.Record.Address), beliefs.Self.Record.Address];
        return [.. addresses.Distinct().Where(address => !inhabited.Contains(address) && !IsAliasOfLive(address))];
    }

    private bool IsAliasOfLive(PeerAddress address) =>
        _aliases.TryGetValue(address, out var name) && beliefs.Find(name) is { IsLive: true } && random.Next(AliasRecheck) != 0;
}
