namespace DistCache.Wire;

/// <summary>
/// The first field of every message. Even kinds are requests, odd ones are replies and notes: an unknown request is answered with a
/// fault, an unknown reply or note is passed over. A number is never used again for something else.
/// </summary>
internal enum MessageKind : uint
{
    /// <summary>The first message each way.</summary>
    Hello = 1,

    /// <summary>Shows that the sender knows the shared secret.</summary>
    Proof = 3,

    /// <summary>A part of a message that is too long to go at once.</summary>
    Chunk = 5,

    /// <summary>The sender gave up what it was sending in chunks under this id.</summary>
    Abandon = 7,

    /// <summary>There is no reply, and why.</summary>
    Fault = 9,

    /// <summary>The reply is too long for this lane: ask again on the bulk lane.</summary>
    AskOnBulk = 11,

    Read = 16,
    ReadReply = 17,
    Write = 18,
    WriteReply = 19,
    Replicate = 20,
    ReplicateReply = 21,
    Touch = 22,

    /// <summary>Heard, with nothing else to say.</summary>
    Done = 23,

    Probe = 32,
    ProbeReply = 33,
    IndirectProbe = 34,
    IndirectProbeReply = 35,
    Gossip = 36,
    Exchange = 38,
    ExchangeReply = 39,

    Holdings = 48,
    HoldingsReply = 49,
    Transfer = 50,
    TransferReply = 51,
    Compare = 52,
    CompareReply = 53,
    Digest = 54,
    DigestReply = 55,
}

internal static class MessageKindExtensions
{
    public static bool IsRequest(this MessageKind kind) => ((uint)kind & 1) == 0;
}
