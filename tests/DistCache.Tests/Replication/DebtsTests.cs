using System.Text;
using DistCache.Entries;
using DistCache.Peers;

namespace DistCache.Tests.Replication;

/// <summary>What happens to debts while they are being paid. Anti-entropy, which would find them too, has its first round long after.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[CancelAfter(Patience.Milliseconds)]
public sealed class DebtsTests : IDisposable
{
    private static readonly PeerFault Refused = new(FaultKind.Unreachable, "refused");

    private readonly InMemoryCluster _cluster = new("a", "b", "c");
    private readonly TaskCompletionSource _onItsWay = new();
    private int _sent;

    private InMemoryNode Debtor => _cluster.Nodes[0];

    private InMemoryNode Owner => _cluster.Nodes[1];

    private InMemoryNode Third => _cluster.Nodes[2];

    public void Dispose() => _cluster.Dispose();

    [Test]
    public async Task Debt_ThatComesWhileOthersArePaid_IsPaidToo()
    {
        var (first, second) = (KeyOf(Debtor, Owner), KeyOf(Debtor, Owner, skip: 1));
        await OweAsync(first);
        HoldThePayment();
        await OweAsync(second);
        _onItsWay.SetResult();
        AssertHeldSoon(first, second);
    }

    /// <summary>The owner was given up and is back, by a later table, when the last of the earlier debts is paid.</summary>
    [Test]
    public async Task Debt_OfALaterTableThanTheOthersThatArePaid_IsPaidToo()
    {
        var (first, second) = (KeyOf(Debtor, Owner), KeyOf(Debtor, Third));
        await OweAsync(first);
        HoldThePayment();
        _cluster.Settle(Debtor, Owner);
        Assert.That(Owner.Replicator.Ownership.Current.Import.IsComplete, Is.True, "it asks nobody for anything any more");
        await OweAsync(second);
        _onItsWay.SetResult();
        AssertHeldSoon(first, second);
    }

    [Test]
    public async Task Debt_ToAnOwnerThatWasGivenUpAndIsBack_WhileItWasPaid_IsPaid()
    {
        var key = KeyOf(Debtor, Owner);
        await OweAsync(key);
        HoldThePayment();
        Debtor.See(_cluster.Nodes, node => node == Owner ? MemberState.Dead : MemberState.Alive);
        _cluster.Fault = static (_, to, request) => request is ReplicateRequest ? Refused : null;
        _onItsWay.SetResult();
        _cluster.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(Owner.Held(key), Is.Null);

        _cluster.Fault = static (_, _, _) => null;
        _cluster.Settle();
        AssertHeldSoon(key);
    }

    /// <summary>The owner holds a later version when the offer comes: that stays, and nothing is owed any more.</summary>
    [Test]
    public async Task Debt_ThatWasPaidOnAnotherWayMeanwhile_IsNone()
    {
        var key = KeyOf(Debtor, Owner);
        await OweAsync(key);
        HoldThePayment();
        Owner.Replicator.Owned.Take(new EntryRecord(key, new EntryVersion(Debtor.Clock.Next(), 1), RemainingTime.Unlimited, EntryFlags.None, new byte[] { 2 }), out _);
        Assert.That(await Debtor.Replicator.IsSafeToStopAsync(default), Is.False, "it may still be owed");

        _onItsWay.SetResult();
        Assert.That(Owner.Held(key), Is.EqualTo(new byte[] { 2 }));
        Assert.That(await Debtor.Replicator.IsSafeToStopAsync(default), Is.True);
    }

    /// <summary>Else the debts to others would wait for as long.</summary>
    [Test]
    public async Task Owner_ThatFallsSilentInTheMiddle_IsOfferedAFewOnly()
    {
        for (var number = 0; number < 50; number++)
        {
            await OweAsync(KeyOf(Debtor, Owner, number));
        }

        _cluster.Fault = (_, to, request) =>
        {
            var isCopy = to == Owner && request is ReplicateRequest;
            _sent += isCopy ? 1 : 0;
            return isCopy ? PeerFault.TimedOut : null;
        };
        _cluster.Time.Advance(DistCache.Replication.Debts.Interval);
        Assert.That(_sent, Is.InRange(1, 20));
    }

    /// <summary>The first offer to one is never answered, that to the other is lost; the next one is due long before the first is given up.</summary>
    [Test]
    public async Task Owner_ThatIsSilent_KeepsNoOtherWaiting()
    {
        var (toSilent, toOther) = (KeyOf(Debtor, Owner), KeyOf(Debtor, Third));
        await OweAsync(toSilent);
        await OweAsync(toOther, Third);
        _cluster.Hold = (_, to, request) => to == Owner && request is CompareRequest ? _onItsWay.Task : null;
        _cluster.Fault = (_, to, request) => to == Third && request is ReplicateRequest && _sent++ == 0 ? Refused : null;
        _cluster.Time.Advance(DistCache.Replication.Debts.Interval * 4);
        Assert.That(_sent, Is.EqualTo(2));
        Assert.That(Third.Held(toOther), Is.EqualTo(new byte[] { 1 }));
        Assert.That(Owner.Held(toSilent), Is.Null);
    }

    /// <summary>What is beyond that is offered by anti-entropy; until it was, the node may not stop.</summary>
    [Test]
    public async Task Debts_BeyondWhatIsRemembered_AreNoneOnlyAfterAComparison()
    {
        var tag = Encoding.UTF8.GetString(KeyOf(Debtor, Owner));
        var keys = Enumerable.Range(0, DistCache.Replication.Debts.MaximumOwed + 1).Select(number => Encoding.UTF8.GetBytes($"{{{tag}}}{number}")).ToArray();
        _cluster.Fault = (_, to, request) => to == Owner && request is ReplicateRequest ? Refused : null;
        foreach (var key in keys)
        {
            await Debtor.SetAsync(key, [1]);
        }

        // Else the stand-in's copies would come home.
        _cluster.Fault = (from, to, _) => from == Third && to == Owner ? Refused : null;
        Assert.That(HeldByOwner(), Is.Zero);
        _cluster.Time.Advance(DistCache.Replication.Debts.Interval * 3);
        Assert.That(HeldByOwner(), Is.EqualTo(DistCache.Replication.Debts.MaximumOwed));
        Assert.That(await Debtor.Replicator.IsSafeToStopAsync(default), Is.False);

        await CompareAsync();
        Assert.That(await Debtor.Replicator.IsSafeToStopAsync(default), Is.False, "What is younger than the least age is not compared.");

        _cluster.Time.Advance(DistCache.Replication.AntiEntropy.MinimumAge + DistCache.Replication.Debts.Interval);
        await CompareAsync();
        Assert.That(HeldByOwner(), Is.EqualTo(keys.Length));
        Assert.That(await Debtor.Replicator.IsSafeToStopAsync(default), Is.True);

        int HeldByOwner() => keys.Count(key => Owner.Held(key) is not null);
    }

    /// <summary>It rests after each batch.</summary>
    private async Task CompareAsync()
    {
        var round = Debtor.Replicator.CompareAsync();
        for (var rests = 0; !round.IsCompleted && rests < 100; rests++)
        {
            _cluster.Time.Advance(TimeSpan.FromMilliseconds(100));
        }

        Assert.That(round.IsCompleted);
        await round;
    }

    /// <summary>A key that the first leads and the second has a copy of.</summary>
    private byte[] KeyOf(InMemoryNode primary, InMemoryNode replica, int skip = 0) =>
        Enumerable.Range(0, 1_000).Select(number => InMemoryCluster.KeyLedBy(primary, primary, number)).Where(key => _cluster.OwnersOf(key).Last() == replica).Skip(skip).First();

    /// <summary>The owner does not take what is written.</summary>
    private async Task OweAsync(byte[] key, InMemoryNode? owner = null)
    {
        owner ??= Owner;
        _cluster.Fault = (_, to, request) => to == owner && request is ReplicateRequest copy && copy.Entry.Key.Span.SequenceEqual(key) ? Refused : null;
        await Debtor.SetAsync(key, [1]);
        Assert.That(owner.Held(key), Is.Null);
        _cluster.Fault = static (_, _, _) => null;
    }

    /// <summary>It has begun, and stays on its way.</summary>
    private void HoldThePayment()
    {
        var isHeld = false;
        _cluster.Hold = (_, to, request) =>
        {
            if (isHeld || to != Owner || request is not ReplicateRequest)
            {
                return null;
            }

            isHeld = true;
            return _onItsWay.Task;
        };
        _cluster.Time.Advance(DistCache.Replication.Debts.Interval);
        Assert.That(isHeld, Is.True);
    }

    /// <summary>Sooner than a stand-in's copy comes home.</summary>
    private void AssertHeldSoon(params byte[][] keys)
    {
        _cluster.Time.Advance(DistCache.Replication.Debts.Interval * 3);
        Assert.That(keys.Select(Owner.Held), Is.All.EqualTo(new byte[] { 1 }));
    }
}
