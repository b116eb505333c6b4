using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// Whether this node may stop, even by a crash, and nothing is lost that was acknowledged by all copies:
/// <list type="number">
/// <item>every member, and every one that the table has, is alive and not about to leave, and the table has not one of several alone: what that takes next, nobody else has;</item>
/// <item>each of them, asked now, works by this node's table and has got all that it owns;</item>
/// <item>every slot that is held here has another owner;</item>
/// <item>nobody is owed a copy by this node, and it holds nothing that only others own.</item>
/// </list>
/// </summary>
internal sealed class StopCheck(Ownership ownership, MemoryTier memory, PeerCalls calls, Debts debts, Release release, ReplicationOptions options)
{
    public async Task<bool> IsSafeAsync(CancellationToken cancellationToken)
    {
        var routing = ownership.Current;
        if (!IsSafeHere(routing))
        {
            return false;
        }

        var asked = routing.LiveMembers
            .Where(member => !routing.IsSelf(member))
            .Select(member => calls.SendAsync(member, new HoldingsRequest(routing.Table.Hash), routing, options.Timeout, cancellationToken).AsTask());
        var replies = await Task.WhenAll(asked).ConfigureAwait(false);
        return replies.All(reply => reply is HoldingsReply { IsWhole: true } holdings && holdings.TableHash == routing.Table.Hash)
            && ReferenceEquals(ownership.Current.Table, routing.Table)
            && IsSafeHere(ownership.Current);
    }

    private bool IsSafeHere(Routing routing)
    {
        // One that has died keeps its place in the table for a while, and no copy.
        if (!routing.Import.IsComplete || !routing.LiveMembers.All(IsAlive) || !routing.Owners.All(IsAlive) || (routing.Owners.Length == 1 && routing.LiveMembers.Length > 1))
        {
            return false;
        }

        foreach (var slot in memory.HeldSlots())
        {
            var owners = routing.Table.Owners(slot);
            if (!owners.Contains((ushort)routing.SelfIndex) || owners.Length < 2)
            {
                return false;
            }
        }

        return debts.AreNone && release.IsDone;
    }

    private static bool IsAlive(Member member) => member.State == MemberState.Alive;
}
