using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>
/// What is still to be told. One rumour a member: a newer one replaces the older. The least told go first, so that fresh news overtakes;
/// after <see cref="SwimTiming.RetransmitLimit"/> tellings by gossip, whose targets are chosen by chance, a rumour is old. What travels on
/// probes does not count: when many members die at once, a storm of probes would use all tellings up on a few receivers.
/// </summary>
internal sealed class RumourQueue
{
    public const int MaximumPerMessage = 64;

    /// <summary>A telling that failed does not count, but a rumour that nobody can be told ends all the same.</summary>
    private const int MaximumAttemptsFactor = 4;

    private readonly Dictionary<NodeName, Rumour> _rumours = [];

    public bool IsEmpty => _rumours.Count == 0;

    public void Add(MemberRecord record) => _rumours[record.Identity.Name] = new Rumour(record);

    public void Remove(NodeName name) => _rumours.Remove(name);

    public void Clear() => _rumours.Clear();

    /// <summary>The rumours for one message that does not count.</summary>
    /// <param name="room">How many at most.</param>
    /// <param name="except">Members that the message speaks of already, and the one it goes to.</param>
    public IReadOnlyList<Rumour> Peek(int room, Func<NodeName, bool> except) => _rumours.Count == 0
        ? []
        : [.. _rumours.Values.Where(rumour => !except(rumour.Record.Identity.Name)).OrderBy(rumour => rumour.Told).Take(room)];

    /// <summary>Takes rumours for one gossip and counts them as told.</summary>
    /// <param name="room">How many at most.</param>
    /// <param name="members">How many there are to tell.</param>
    /// <param name="except">As for <see cref="Peek"/>.</param>
    public IReadOnlyList<Rumour> Take(int room, int members, Func<NodeName, bool> except)
    {
        var limit = SwimTiming.RetransmitLimit(members);
        var taken = Peek(room, except);
        foreach (var rumour in taken)
        {
            rumour.Attempts++;
            if (rumour.Told >= limit || rumour.Attempts >= limit * MaximumAttemptsFactor)
            {
                _rumours.Remove(rumour.Record.Identity.Name);
            }
        }

        return taken;
    }

    /// <summary>A message did not arrive: what it told is told again, unless there is newer.</summary>
    public void GiveBack(IReadOnlyList<Rumour> told, int members)
    {
        var attempts = SwimTiming.RetransmitLimit(members) * MaximumAttemptsFactor;
        foreach (var rumour in told)
        {
            rumour.Failures++;
            if (rumour.Attempts < attempts)
            {
                _rumours.TryAdd(rumour.Record.Identity.Name, rumour);
            }
        }
    }
}

/// <summary>One piece of news and how often it was told.</summary>
internal sealed class Rumour(MemberRecord record)
{
    public MemberRecord Record { get; } = record;

    public int Attempts { get; set; }

    public int Failures { get; set; }

    public int Told => Attempts - Failures;
}
