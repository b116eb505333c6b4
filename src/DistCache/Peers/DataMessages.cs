using DistCache.Entries;

namespace DistCache.Peers;

/// <summary>Asks for an entry.</summary>
/// <param name="Key">Its key.</param>
/// <param name="TableHash">The sender's table.</param>
/// <param name="Renew">Counts as a use.</param>
/// <param name="WithValue">False for a refresh: the value is not wanted.</param>
/// <param name="AsHolder">Asks for what the receiver holds, whether it owns the slot or not: the slot's owner is still importing.</param>
internal sealed record ReadRequest(ReadOnlyMemory<byte> Key, ulong TableHash, bool Renew, bool WithValue, bool AsHolder) : PeerRequest
{
    // These can be set anew, by an owner who uses the request again: there is one for each read.
    public ReadOnlyMemory<byte> Key { get; set; } = Key;

    public ulong TableHash { get; set; } = TableHash;

    public bool Renew { get; set; } = Renew;

    public bool WithValue { get; set; } = WithValue;

    public override Lane Lane => Lane.Data;
}

internal enum ReadOutcome : byte
{
    Miss,
    Hit,

    /// <summary>There is a version that says "removed": it beats older hits of other nodes.</summary>
    Tombstone,

    /// <summary>The receiver does not own the slot by its own table.</summary>
    NotMine,
}

/// <summary>What a node's answer about a slot is worth.</summary>
internal enum Standing : byte
{
    /// <summary>It does not own the slot; it may hold something of it.</summary>
    Holder,

    /// <summary>It owns the slot but has not got everything yet: the holders named in its reply may hold higher versions.</summary>
    Importing,

    /// <summary>It owns the slot whole, as a replica.</summary>
    Replica,

    /// <summary>It owns the slot whole and is its primary: its answer counts by itself.</summary>
    Primary,
}

/// <summary>The answer to a read.</summary>
/// <param name="Outcome">What was found.</param>
/// <param name="Standing">What the sender's word is worth.</param>
/// <param name="TableHash">The sender's table, to notice a disagreement.</param>
/// <param name="Version">Of the hit or tombstone; default for a miss.</param>
/// <param name="Remaining">How long the hit lives.</param>
/// <param name="Value">The hit's value; lives until <see cref="Release"/>.</param>
internal sealed record ReadReply(
    ReadOutcome Outcome, Standing Standing, ulong TableHash, EntryVersion Version, RemainingTime Remaining, ReadOnlyMemory<byte> Value) : PeerReply
{
    /// <summary>The pooled array behind <see cref="Value"/>, if it is one.</summary>
    public byte[]? Rented { get; init; }

    /// <summary>Where an importing owner has not read to the end yet; empty for any other.</summary>
    public IReadOnlyList<PeerAddress> Holders { get; init; } = [];

    /// <param name="head">What it says.</param>
    /// <param name="value">The value.</param>
    /// <param name="rented">The pooled array that goes back with the reply, if it has a length.</param>
    public static ReadReply Of(in ReadHead head, ReadOnlyMemory<byte> value, byte[] rented) =>
        new(head.Outcome, head.Standing, head.TableHash, head.Version, head.Remaining, value)
        {
            Holders = head.Holders,
            Rented = rented.Length > 0 ? rented : null,
        };

    public override void Release()
    {
        if (Rented is not null)
        {
            ValueBytes.Return(Rented);
        }

        base.Release();
    }
}

/// <summary>Asks the acting primary to write an entry.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Remove">Removes it: there is no value.</param>
/// <param name="Version">Given by the node that writes, so that a request which arrives late or twice changes nothing.</param>
/// <param name="Remaining">How long it lives; for a removal, how long that is remembered.</param>
/// <param name="Value">Its value.</param>
/// <param name="Ack">How many copies the sender wants.</param>
/// <param name="TableHash">The sender's table.</param>
/// <param name="PassedOver">The owners before the receiver did not answer the sender: the receiver does not wait for them either.</param>
internal sealed record WriteRequest(
    ReadOnlyMemory<byte> Key,
    bool Remove,
    EntryVersion Version,
    RemainingTime Remaining,
    ReadOnlyMemory<byte> Value,
    WriteAck Ack,
    ulong TableHash,
    bool PassedOver) : PeerRequest
{
    public override Lane Lane => Value.Length > LaneLimits.InlineBytes ? Lane.Bulk : Lane.Data;

    /// <summary>On its way to the primary, and on from there.</summary>
    public override TimeSpan ExtraTime => 2 * LaneLimits.TimeFor(Value.Length);
}

internal enum WriteOutcome : byte
{
    Acknowledged,

    /// <summary>The receiver does not own the slot by its own table.</summary>
    NotMine,

    /// <summary>Fewer copies exist than were needed; those that exist stay, so the effect is unknown.</summary>
    Unavailable,

    /// <summary>The entry does not fit into the receiver's memory budget, or into that of other owners and nobody can stand in for them.</summary>
    TooLarge,

    /// <summary>An owner holds a higher version: the sender stamps the write again, above that. The copies in the reply are of this version or of a higher one.</summary>
    Older,

    /// <summary>Fewer members are reachable than must be for a write; nothing was written. The counts in the reply are of members.</summary>
    TooFewMembers,
}

internal sealed record WriteReply(WriteOutcome Outcome, ulong TableHash, int NeededCopies, int Copies) : PeerReply;

/// <summary>
/// Gives an owner its copy of an entry; with <paramref name="StandIn"/> gives it to a node that holds it for an owner which did not answer.
/// </summary>
internal sealed record ReplicateRequest(EntryRecord Entry, ulong TableHash, bool StandIn) : PeerRequest
{
    public override Lane Lane => Entry.Value.Length > LaneLimits.InlineBytes ? Lane.Bulk : Lane.Data;

    public override TimeSpan ExtraTime => LaneLimits.TimeFor(Entry.Value.Length);
}

internal enum ReplicateOutcome : byte
{
    Applied,

    /// <summary>The receiver holds a higher version, named in the reply.</summary>
    Older,

    /// <summary>The receiver does not own the slot by its own table.</summary>
    NotMine,

    /// <summary>The entry does not fit into the receiver's memory budget, or its version is too far in the future.</summary>
    Refused,
}

internal sealed record ReplicateReply(ReplicateOutcome Outcome, EntryVersion Held, ulong TableHash) : PeerReply;

/// <summary>One use of an entry with a sliding window, told to its other owners.</summary>
internal sealed record Renewal(ReadOnlyMemory<byte> Key, EntryVersion Version, long Idle);

internal sealed record TouchRequest(IReadOnlyList<Renewal> Renewals) : PeerRequest
{
    /// <summary>The first word to a member in a new life: what its address did before that is not held against it.</summary>
    public bool IsGreeting { get; init; }

    public override Lane Lane => Lane.Data;

    public override bool DialsAnew => IsGreeting;
}

/// <summary>Heard, with nothing else to say.</summary>
internal sealed record DoneReply : PeerReply
{
    public static readonly DoneReply Instance = new();
}

internal static class LaneLimits
{
    /// <summary>Larger values travel on the bulk lane, in chunks.</summary>
    public const int InlineBytes = 64 << 10;

    /// <summary>The largest value of all; options may set a lower bound, never a higher one.</summary>
    public const int MaximumValueBytes = 64 << 20;

    /// <summary>Slower than any link between nodes should be: 300 Mbit/s.</summary>
    public const int SlowestBytesPerSecond = 32 << 20;

    /// <summary>The longest chunk that is taken.</summary>
    public const int ChunkBytes = 1 << 20;

    /// <summary>
    /// The chunks that are sent: what stands on the way of a smaller message, and takes a processor from others, for some tens of microseconds.
    /// </summary>
    public const int SentChunkBytes = 128 << 10;

    /// <summary>The same for a reply, before its length is known.</summary>
    public static readonly TimeSpan TimeForLargeReply = TimeSpan.FromSeconds(2);

    /// <summary>What a message with a large value may take longer than a small one: two seconds for 64 MiB.</summary>
    public static TimeSpan TimeFor(int valueLength) =>
        valueLength > InlineBytes ? TimeSpan.FromSeconds((double)valueLength / SlowestBytesPerSecond) : TimeSpan.Zero;
}
