using DistCache.Entries;

namespace DistCache.Peers;

/// <summary>A <see cref="ReadRequest"/> while it is being answered: nothing but a look at the bytes that came.</summary>
internal readonly ref struct ReadQuestion(ReadOnlySpan<byte> key, bool renew, bool withValue, bool asHolder)
{
    public ReadOnlySpan<byte> Key { get; } = key;

    public bool Renew { get; } = renew;

    public bool WithValue { get; } = withValue;

    public bool AsHolder { get; } = asHolder;
}

/// <summary>A <see cref="ReadReply"/> whose value stands elsewhere, if it has fitted there.</summary>
/// <param name="Outcome">What was found.</param>
/// <param name="Standing">What the sender's word is worth.</param>
/// <param name="TableHash">The sender's table.</param>
/// <param name="Version">Of the hit or tombstone; default for a miss.</param>
/// <param name="Remaining">How long the hit lives.</param>
/// <param name="ValueLength">Of a hit whose value was asked for.</param>
/// <param name="Holders">Where an importing owner has not read to the end yet.</param>
internal readonly record struct ReadHead(
    ReadOutcome Outcome, Standing Standing, ulong TableHash, EntryVersion Version, RemainingTime Remaining, int ValueLength, IReadOnlyList<PeerAddress> Holders);
