using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Tests.Wire;

/// <summary>One of each message, with every field different from its default.</summary>
internal static class SampleMessages
{
    public static readonly NodeIdentity Identity = new(NodeName.Parse("node-ä"), 1_764_000_000_123);

    public static readonly PeerAddress Address = new("2001:db8::1", 7_600);

    public static readonly EntryVersion Version = new(0x0123_4567_89AB_CDEF, 0xFEDC_BA98);

    public static readonly RemainingTime Remaining = new(60_000, 5_000, 17);

    public static readonly MemberRecord Member = new(
        Identity, 3, MemberState.Suspect, Address, "zone-1", 2, NodeName.Parse("accuser"), 1_500, 2_000);

    public static readonly EntryRecord Entry = new(Bytes("key"), Version, Remaining, EntryFlags.Tombstone, Bytes("value"));

    private const ulong Table = 0xFFFF_FFFF_FFFF_FFFF;

    public static IEnumerable<PeerRequest> Requests()
    {
        yield return new ReadRequest(Bytes("key"), Table, Renew: true, WithValue: true, AsHolder: true);
        yield return new ReadRequest(default, 0, false, false, false);
        yield return new WriteRequest(Bytes("key"), Remove: true, Version, Remaining, Bytes("value"), WriteAck.All, Table, PassedOver: true);
        yield return new WriteRequest(new byte[EntryKey.MaximumBytes], false, Version, RemainingTime.Unlimited, new byte[70_000], WriteAck.Primary, 1, false);
        yield return new ReplicateRequest(Entry, Table, StandIn: true);
        yield return new TouchRequest([new Renewal(Bytes("a"), Version, 12), new Renewal(Bytes("b"), default, 0)]);
        yield return new TouchRequest([]);
        yield return new ProbeRequest(Identity, [Member]);
        yield return new IndirectProbeRequest(Identity, Address, [Member, Member with { State = MemberState.Left, Zone = "", Accuser = default }]);
        yield return new GossipRequest([.. Enumerable.Repeat(Member, 64)]);
        yield return new ExchangeRequest([Member]);
        yield return new HoldingsRequest(Table);
        yield return new TransferRequest(Slots(), 0xFFFF_FFFF_FFFF, 1 << 20);
        yield return new WriteRequest(default, false, default, default, default, Enum.GetValues<WriteAck>().Max(), 0, false);
        yield return new CompareRequest([new HeldVersion(Bytes("a"), Version), new HeldVersion(default, default)], Table);
        yield return new DigestRequest(Slots(), [long.MinValue, .. Enumerable.Repeat(7L, Slots().Count - 1)], Table);
    }

    public static IEnumerable<PeerReply> Replies()
    {
        yield return new ReadReply(ReadOutcome.Hit, Standing.Primary, Table, Version, Remaining, Bytes("value"));
        yield return new ReadReply(ReadOutcome.Miss, Standing.Importing, 7, default, default, default) { Holders = [Address, Address] };
        yield return new WriteReply(WriteOutcome.Unavailable, Table, 3, 1);
        yield return new ReplicateReply(ReplicateOutcome.Older, Version, Table);
        yield return DoneReply.Instance;
        yield return new PeerFault(FaultKind.Failed, "Why not.");
        yield return new PeerFault(Enum.GetValues<FaultKind>().Max(), "The last kind.");
        yield return new ReadReply(Enum.GetValues<ReadOutcome>().Max(), Enum.GetValues<Standing>().Max(), 0, default, default, default);
        yield return new WriteReply(Enum.GetValues<WriteOutcome>().Max(), 0, 0, 0);
        yield return new ReplicateReply(Enum.GetValues<ReplicateOutcome>().Max(), default, 0);
        yield return new ProbeReply([Member with { State = Enum.GetValues<MemberState>().Max() }]);
        yield return new ProbeReply([Member]);
        yield return new IndirectProbeReply(Reached: true, Refused: true, [Member]);
        yield return new ExchangeReply([Member, Member]);
        yield return new HoldingsReply(Table, Slots(), [new Absence(Identity, 5_000)], IsWhole: true, TimeSpan.FromHours(1));
        yield return new TransferReply([Entry, Entry with { Value = default, Flags = EntryFlags.Tombstone }], 99, IsEnd: true, Lookups: 1L << 40);
        yield return new CompareReply(IsOwner: true, [0, 1, 70_000]);
        yield return new DigestReply(IsSameTable: true, Slots());
    }

    public static ReadOnlyMemory<byte> Bytes(string text) => System.Text.Encoding.UTF8.GetBytes(text);

    private static SlotSet Slots()
    {
        var slots = new SlotSet();
        slots.Add(new Slot(0));
        slots.Add(new Slot(12_739));
        slots.Add(new Slot(Slot.Count - 1));
        return slots;
    }
}
