using DistCache.Entries;

namespace DistCache.Peers;

/// <summary>
/// Asks a member which slots it holds anything of, after a change of the table. The sender asks again until the receiver works by the
/// same table: what it reads then is all there is.
/// </summary>
internal sealed record HoldingsRequest(ulong TableHash) : PeerRequest
{
    public override Lane Lane => Lane.Control;
}

/// <summary>
/// The slots that the sender holds any entry or tombstone of, by its table; the members that it misses, or that are strangers to it, and itself
/// where it stood still and does not know whether it was missed; whether it has got everything of the slots that it owns; and how long removals
/// are remembered where that is shortest, as far as it knows; zero from one that does not say.
/// </summary>
internal sealed record HoldingsReply(
    ulong TableHash, SlotSet Held, IReadOnlyList<Absence> Missing, bool IsWhole, TimeSpan TombstoneLifetime = default) : PeerReply;

/// <summary>A member that was given up, and for how many milliseconds more it may come back with what it held; 0 if that is too late.</summary>
internal readonly record struct Absence(NodeIdentity Identity, long Milliseconds)
{
    /// <summary>It stays a stranger, or is one already, until one of both sides has begun anew.</summary>
    public bool IsTooLate => Milliseconds <= 0;
}

/// <summary>Asks for the next batch of a holder's entries of some slots. <paramref name="Cursor"/> is 0 at first, then what the last reply said.</summary>
internal sealed record TransferRequest(SlotSet Slots, ulong Cursor, int MaximumBytes) : PeerRequest
{
    public override Lane Lane => Lane.Bulk;
}

/// <summary>
/// A batch of a transfer. <paramref name="IsEnd"/> says that nothing is left behind <paramref name="Cursor"/>; <paramref name="Lookups"/>
/// is how often the sender has looked entries up so far, so that the receiver sees whether anybody reads there.
/// </summary>
internal sealed record TransferReply(IReadOnlyList<EntryRecord> Entries, ulong Cursor, bool IsEnd, long Lookups) : PeerReply;

/// <summary>One entry that the sender holds, without its value.</summary>
internal readonly record struct HeldVersion(ReadOnlyMemory<byte> Key, EntryVersion Version);

/// <summary>Asks an owner which of these it lacks, or holds only an older version of.</summary>
internal sealed record CompareRequest(IReadOnlyList<HeldVersion> Held, ulong TableHash) : PeerRequest
{
    public override Lane Lane => Lane.Bulk;
}

/// <summary>
/// The positions in the request that the sender lacks. <paramref name="IsOwner"/> is false if it does not own all of these slots
/// whole under the same table: then its word releases nothing.
/// </summary>
internal sealed record CompareReply(bool IsOwner, IReadOnlyList<int> Lacking) : PeerReply;

/// <summary>Asks a co-owner which of these slots differ from what the sender holds of them. <paramref name="Digests"/> has one for each slot, in order.</summary>
internal sealed record DigestRequest(SlotSet Slots, IReadOnlyList<long> Digests, ulong TableHash) : PeerRequest
{
    public override Lane Lane => Lane.Bulk;
}

/// <summary>The slots whose digest is another at the sender; none, and <paramref name="IsSameTable"/> false, if it works by another table.</summary>
internal sealed record DigestReply(bool IsSameTable, SlotSet Differing) : PeerReply;
