using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>Whom a write has asked to lead it: those who gave no answer, and those who had nothing more to say under the table by which they were asked.</summary>
internal sealed class AskedLeaders
{
    private readonly HashSet<NodeIdentity> _silent = [];
    private readonly HashSet<(NodeIdentity Identity, ulong TableHash)> _answered = [];

    /// <param name="silent">The primary, if it gave no answer when it was sent its copy.</param>
    public AskedLeaders(Member? silent)
    {
        if (silent is not null)
        {
            GiveUp(silent);
        }
    }

    /// <summary>Somebody gave no answer: whoever leads now does not wait for him.</summary>
    public bool WasGivenUp => _silent.Count > 0;

    /// <summary>Somebody says that he does not own the slot.</summary>
    public bool WasDisowned { get; private set; }

    public bool Has(Member member, Routing routing) =>
        _silent.Contains(member.Record.Identity) || _answered.Contains((member.Record.Identity, routing.Table.Hash));

    public void GiveUp(Member member) => _silent.Add(member.Record.Identity);

    public void HasAnswered(Member member, Routing routing) => _answered.Add((member.Record.Identity, routing.Table.Hash));

    public void Disowns(Member member, Routing routing)
    {
        WasDisowned = true;
        HasAnswered(member, routing);
    }

    /// <summary>Whoever answered may have another table by now.</summary>
    public void BeginAgain() => _answered.Clear();
}
