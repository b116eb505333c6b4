using DistCache.Peers;

namespace DistCache.Membership;

/// <summary>Whether a record can be true at all.</summary>
internal static class RecordCheck
{
    /// <summary>Why it cannot; null if it can.</summary>
    public static Disbelief? Doubt(MemberRecord record, Moment now)
    {
        if (record.Identity.Incarnation > now.Clock + SwimTiming.MaximumIncarnationLead)
        {
            return Disbelief.IncarnationTooFarAhead;
        }

        var isWellFormed = record.Identity.Name != default
            && record.State is >= MemberState.Alive and <= MemberState.Left
            && record.Address is { Host.Length: > 0 and <= PeerAddress.MaximumHostLength, Port: > 0 and <= 65_535 }
            && record.Zone.Length <= MemberRecord.MaximumZoneLength
            && record.ReplicaCount is >= 0 and <= 7
            && record.UnsettledMilliseconds >= 0
            && record.WaitedMilliseconds >= 0;
        return isWellFormed ? null : Disbelief.Malformed;
    }
}
