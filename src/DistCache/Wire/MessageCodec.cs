using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// Between the records of <c>Peers</c> and the bytes of docs/wire-protocol.md. What is read refers to the message's memory; replies,
/// which are consumed later, borrow it.
/// </summary>
internal static class MessageCodec
{
    private static readonly bool[] Replies = FindReplies();

    public static void Encode(MessageBuffer buffer, uint id, ulong clock, PeerRequest request)
    {
        var writer = new MessagePackWriter(buffer);
        switch (request)
        {
            case ReadRequest read:
                DataCodec.Write(writer, id, clock, read);
                break;
            case WriteRequest write:
                DataCodec.Write(writer, id, clock, write);
                break;
            case ReplicateRequest replicate:
                DataCodec.Write(writer, id, clock, replicate);
                break;
            case TouchRequest touch:
                DataCodec.Write(writer, id, clock, touch);
                break;
            case ProbeRequest probe:
                MembershipCodec.Write(writer, id, clock, probe);
                break;
            case IndirectProbeRequest probe:
                MembershipCodec.Write(writer, id, clock, probe);
                break;
            case GossipRequest gossip:
                MembershipCodec.Write(writer, id, clock, MessageKind.Gossip, gossip.Rumours);
                break;
            case ExchangeRequest exchange:
                MembershipCodec.Write(writer, id, clock, MessageKind.Exchange, exchange.Members);
                break;
            case HoldingsRequest holdings:
                TakeoverCodec.Write(writer, id, clock, holdings);
                break;
            case TransferRequest transfer:
                TakeoverCodec.Write(writer, id, clock, transfer);
                break;
            case CompareRequest compare:
                TakeoverCodec.Write(writer, id, clock, compare);
                break;
            case DigestRequest digest:
                TakeoverCodec.Write(writer, id, clock, digest);
                break;
            default:
                throw new ArgumentException($"{request.GetType().Name} has no form on the wire.", nameof(request));
        }
    }

    public static void Encode(MessageBuffer buffer, uint id, ulong clock, PeerReply reply)
    {
        var writer = new MessagePackWriter(buffer);
        switch (reply)
        {
            case ReadReply read:
                DataCodec.Write(writer, id, clock, read);
                break;
            case ReplicateReply replicate:
                DataCodec.Write(writer, id, clock, replicate);
                break;
            case WriteReply write:
                DataCodec.Write(writer, id, clock, write);
                break;
            case DoneReply:
                new MessageHead(MessageKind.Done, id, clock, 0).Write(writer);
                break;
            case ProbeReply probe:
                MembershipCodec.Write(writer, id, clock, MessageKind.ProbeReply, probe.Rumours);
                break;
            case IndirectProbeReply probe:
                MembershipCodec.Write(writer, id, clock, probe);
                break;
            case ExchangeReply exchange:
                MembershipCodec.Write(writer, id, clock, MessageKind.ExchangeReply, exchange.Members);
                break;
            case HoldingsReply holdings:
                TakeoverCodec.Write(writer, id, clock, holdings);
                break;
            case TransferReply transfer:
                TakeoverCodec.Write(writer, id, clock, transfer);
                break;
            case CompareReply compare:
                TakeoverCodec.Write(writer, id, clock, compare);
                break;
            case DigestReply digest:
                TakeoverCodec.Write(writer, id, clock, digest);
                break;
            case PeerFault fault:
                ControlCodec.Write(writer, id, clock, fault);
                break;
            default:
                throw new ArgumentException($"{reply.GetType().Name} has no form on the wire.", nameof(reply));
        }
    }

    /// <summary>Null for a kind that this version does not know.</summary>
    public static PeerRequest? DecodeRequest(MessageHead head, ref MessagePackReader reader) => head.Kind switch
    {
        MessageKind.Read => DataCodec.ReadRead(head, ref reader),
        MessageKind.Write => DataCodec.ReadWrite(head, ref reader),
        MessageKind.Replicate => DataCodec.ReadReplicate(head, ref reader),
        MessageKind.Touch => DataCodec.ReadTouch(head, ref reader),
        MessageKind.Probe => MembershipCodec.ReadProbe(head, ref reader),
        MessageKind.IndirectProbe => MembershipCodec.ReadIndirectProbe(head, ref reader),
        MessageKind.Gossip => new GossipRequest(MembershipCodec.ReadMembersOnly(head, ref reader)),
        MessageKind.Exchange => new ExchangeRequest(MembershipCodec.ReadMembersOnly(head, ref reader)),
        MessageKind.Holdings => TakeoverCodec.ReadHoldings(head, ref reader),
        MessageKind.Transfer => TakeoverCodec.ReadTransfer(head, ref reader),
        MessageKind.Compare => TakeoverCodec.ReadCompare(head, ref reader),
        MessageKind.Digest => TakeoverCodec.ReadDigest(head, ref reader),
        _ => null,
    };

    /// <summary>Null for a kind that this version does not know, or that is no reply.</summary>
    /// <param name="head">What <paramref name="reader"/> has read so far.</param>
    /// <param name="reader">Stands before the fields.</param>
    /// <param name="message">The whole message.</param>
    /// <param name="lender">What holds the message: values may be left in it until the reply is released.</param>
    public static PeerReply? DecodeReply(
        MessageHead head, ref MessagePackReader reader, ReadOnlyMemory<byte> message, ReceiveBuffer lender) => head.Kind switch
    {
        MessageKind.ReadReply => DataCodec.ReadReadReply(head, ref reader, lender),
        MessageKind.WriteReply => DataCodec.ReadWriteReply(head, ref reader),
        MessageKind.ReplicateReply => DataCodec.ReadReplicateReply(head, ref reader),
        MessageKind.Done => ControlCodec.ReadDone(head, ref reader),
        MessageKind.Fault => ControlCodec.ReadFault(head, ref reader),
        MessageKind.ProbeReply => new ProbeReply(MembershipCodec.ReadMembersOnly(head, ref reader)),
        MessageKind.IndirectProbeReply => MembershipCodec.ReadIndirectProbeReply(head, ref reader),
        MessageKind.ExchangeReply => new ExchangeReply(MembershipCodec.ReadMembersOnly(head, ref reader)),
        MessageKind.HoldingsReply => TakeoverCodec.ReadHoldingsReply(head, ref reader),
        MessageKind.TransferReply => TakeoverCodec.ReadTransferReply(head, ref reader, lender),
        MessageKind.CompareReply => TakeoverCodec.ReadCompareReply(head, ref reader),
        MessageKind.DigestReply => TakeoverCodec.ReadDigestReply(head, ref reader),
        _ => null,
    };

    /// <summary>A kind that this version knows and that answers a request.</summary>
    public static bool IsReply(MessageKind kind) => (uint)kind < (uint)Replies.Length && Replies[(uint)kind];

    /// <summary>The kind of reply that answers <paramref name="request"/>, if it is not a fault.</summary>
    public static MessageKind ReplyKindOf(PeerRequest request) => request switch
    {
        ReadRequest => MessageKind.ReadReply,
        WriteRequest => MessageKind.WriteReply,
        ReplicateRequest => MessageKind.ReplicateReply,
        TouchRequest => MessageKind.Done,
        ProbeRequest or GossipRequest => MessageKind.ProbeReply,
        IndirectProbeRequest => MessageKind.IndirectProbeReply,
        ExchangeRequest => MessageKind.ExchangeReply,
        HoldingsRequest => MessageKind.HoldingsReply,
        TransferRequest => MessageKind.TransferReply,
        CompareRequest => MessageKind.CompareReply,
        DigestRequest => MessageKind.DigestReply,
        _ => throw new ArgumentException($"{request.GetType().Name} has no form on the wire.", nameof(request)),
    };

    /// <summary>The value that a request carries, if it does.</summary>
    public static ReadOnlyMemory<byte> ValueOf(PeerRequest request) => request switch
    {
        WriteRequest write => write.Value,
        ReplicateRequest replicate => replicate.Entry.Value,
        _ => default,
    };

    /// <summary>About what the request weighs among those in flight: its key and value.</summary>
    public static int WeightOf(PeerRequest request) => request switch
    {
        WriteRequest write => write.Key.Length + write.Value.Length,
        ReplicateRequest replicate => replicate.Entry.Key.Length + replicate.Entry.Value.Length,
        _ => 0,
    };

    /// <summary>All odd kinds but the notes about the lane itself.</summary>
    private static bool[] FindReplies()
    {
        var kinds = Enum.GetValues<MessageKind>();
        var replies = new bool[(uint)kinds.Max() + 1];
        foreach (var kind in kinds)
        {
            var isNote = kind is MessageKind.Hello or MessageKind.Proof or MessageKind.Chunk or MessageKind.Abandon;
            replies[(uint)kind] = !kind.IsRequest() && !isNote;
        }

        return replies;
    }
}
