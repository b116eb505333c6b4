using System.Buffers;
using System.Collections.Concurrent;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// A write, from the caller to the acknowledgement.
/// <list type="number">
/// <item>The node that writes gives it a version above its clock. Sent again, it keeps that: late or twice, it changes nothing.</item>
/// <item>It sends it to all owners at once, and is done when the primary and so many others as are needed have it: see <see cref="RemoteWrite"/>.</item>
/// <item>If an owner is not believed to answer, does not, works by another table or lacks its copy for any other reason, and with a large
/// value, the acting primary leads the write: the first owner in ring order that is believed to answer.</item>
/// <item>That one applies it, and sends it to all other owners at once.</item>
/// <item>An owner that is silent for a quarter of the timeout is stood in for by the next node on the ring; one that is known not to answer, at once.</item>
/// <item>Where owners say that they are none, they are asked again after a rest; where they work by other tables, whoever owns the slot by his own leads.</item>
/// <item>It is acknowledged when enough copies exist, never more than members are reachable.</item>
/// <item>An owner that did not take its copy is owed it: see <see cref="Debts"/>.</item>
/// <item>Where the table of whoever writes changed meanwhile, it goes to the owners by the new one as well, before it is acknowledged.</item>
/// <item>Where an owner held a higher version, whoever writes, and still waits, stamps the write again above that.</item>
/// </list>
/// No lock is held across a call; no replica waits for another.
/// </summary>
internal sealed class WritePath(
    Ownership ownership, OwnedWrites owned, PeerCalls calls, Debts debts, HybridClock clock, TimeProvider time, ReplicationOptions options)
{
    /// <summary>So long a write waits that all have refused to lead, before it asks them again: tables become equal by members' words, and by time.</summary>
    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(50);

    /// <summary>How often a write is stamped above a version that an owner held, before another owner is asked to lead it.</summary>
    private const int MaximumStamps = 3;

    /// <summary>Objects of writes that are over, kept for others: as many as callers that wait at once, and no more than this.</summary>
    private const int MaximumUnused = 4_096;

    private readonly ConcurrentQueue<RemoteWrite> _unused = new();
    private int _made;
    private volatile bool _isClosed;

    /// <summary>The copies that an acknowledgement stands for, while all members are reachable.</summary>
    public static int CopiesNeeded(WriteAck ack, int replicaCount) => ack switch
    {
        WriteAck.Primary => 1,
        WriteAck.All => replicaCount + 1,
        _ => ((replicaCount + 1) / 2) + 1,
    };

    /// <summary>
    /// What a write of a large value may take beyond the timeout: the value goes to the primary and on from there, or to a stand-in; where the primary was
    /// silent, once more to the next owner.
    /// </summary>
    public static TimeSpan ExtraTimeFor(int valueLength) => 4 * LaneLimits.TimeFor(valueLength);

    /// <summary>What an application gets of a write that was not acknowledged, with whether it is a removal and the length of its value: it throws.</summary>
    public Action<WriteReply, bool, long> Unacknowledged { get; set; } =
        static (reply, _, _) => throw new InvalidOperationException($"A write came to this: {reply}.");

    /// <summary>Nothing of a write of a caller on this node is under way: of the objects made none is in use.</summary>
    public bool IsIdle => Volatile.Read(ref _made) == _unused.Count;

    /// <summary>Takes no write from callers on this node any more; those under way go on.</summary>
    public void Close()
    {
        _isClosed = true;

        // A write takes its object before it looks: whichever is not refused is seen by IsIdle.
        Interlocked.MemoryBarrier();
    }

    /// <summary>
    /// What a node that is alone wrote: who has died and keeps his place for a while may come back, and have asked for all that he missed, before this node hears of it.
    /// </summary>
    public void OweToOthers(Routing routing, ReadOnlySpan<byte> key, EntryVersion version)
    {
        if (routing.Owners.Length == 1)
        {
            return;
        }

        var entry = new HeldVersion(key.ToArray(), version);
        foreach (var owner in routing.Table.Owners(Slot.Of(key)))
        {
            if (owner != routing.SelfIndex)
            {
                debts.Owe(routing[owner], entry);
            }
        }
    }

    /// <summary>Writes for a caller on this node, who may give up; then the write may go on.</summary>
    public RemoteWrite Begin(ReadOnlySpan<byte> key, bool remove, RemainingTime remaining, in ReadOnlySequence<byte> value, CancellationToken cancellationToken)
    {
        var startedAt = time.GetTimestamp();
        var routing = ownership.Current;
        var slot = Slot.Of(key);
        var owners = routing.Table.Owners(slot);
        var isLarge = value.Length > LaneLimits.InlineBytes;
        var isDirect = !isLarge && !routing.IsUnsure && IsWhole(routing, owners);
        var rented = isDirect ? ArrayPool<byte>.Shared.Rent(key.Length + (int)value.Length) : [];
        var version = new EntryVersion(clock.Next(), routing.Origin);
        var flags = remove ? EntryFlags.Tombstone : EntryFlags.None;
        var entry = isDirect
            ? CopyOf(key, value, version, remaining, flags, rented)
            : new EntryRecord(key.ToArray(), version, remaining, flags, isLarge && value.IsSingleSegment ? value.First : value.ToArray());
        var write = _unused.TryDequeue(out var unused) ? unused : MakeWrite();
        write.Begin(entry, rented, owners.Length, Math.Min(CopiesNeeded(options.WriteAck, routing.Table.ReplicaCount), owners.Length), routing, startedAt);
        if (_isClosed)
        {
            // No copies are needed where none will be made.
            write.End(new WriteReply(WriteOutcome.Unavailable, routing.Table.Hash, NeededCopies: 0, Copies: 0));
            LetGo();
        }
        else if (isDirect && TryHoldHere(write, owners))
        {
            Send(write, owners, cancellationToken);
        }
        else
        {
            AskLeader(write, cancellationToken);
        }

        return write;
    }

    /// <summary>Draws the conclusions from an owner's answer; where tables differ the members are exchanged, and nobody waits for that here.</summary>
    public void Conclude(Member owner, PeerReply reply, Routing routing, long startedAt, TimeSpan patience)
    {
        var concluded = calls.ConcludeAsync(owner, reply, routing, Lane.Data, startedAt, patience, CancellationToken.None);
        if (!concluded.IsCompletedSuccessfully)
        {
            _ = concluded.AsTask();
        }

        if (reply is ReplicateReply { Outcome: ReplicateOutcome.Older } older)
        {
            // The next stamp must be above that.
            clock.TryMerge(older.Held.Clock);
        }
    }

    public bool IsCurrent(Routing routing) => ownership.IsCurrent(routing);

    public void Recycle(RemoteWrite write)
    {
        if (_unused.Count < MaximumUnused)
        {
            _unused.Enqueue(write);
        }
        else
        {
            LetGo();
        }
    }

    /// <summary>The object of a write that is over is not used again.</summary>
    public void LetGo() => Interlocked.Decrement(ref _made);

    /// <summary>The direct way is closed, or did not lead to the end: the acting primary leads the write.</summary>
    public void AskLeader(RemoteWrite write, CancellationToken cancellationToken)
    {
        _ = AskAsync();

        async Task AskAsync()
        {
            try
            {
                write.End(await AskLeaderAsync(write, cancellationToken).ConfigureAwait(false));
            }
            catch (Exception exception)
            {
                write.End(exception);
            }
            finally
            {
                LetGo();
            }
        }
    }

    private RemoteWrite MakeWrite()
    {
        Interlocked.Increment(ref _made);
        return new RemoteWrite(this);
    }

    /// <summary>Every owner is believed to answer, and members enough.</summary>
    private bool IsWhole(Routing routing, ReadOnlySpan<ushort> owners)
    {
        foreach (var index in owners)
        {
            if (!owned.IsReachable(routing[index], routing))
            {
                return false;
            }
        }

        return options.MinimumMembers <= 1 || owned.ReachableMembers(routing) >= options.MinimumMembers;
    }

    private static EntryRecord CopyOf(
        ReadOnlySpan<byte> key, in ReadOnlySequence<byte> value, EntryVersion version, RemainingTime remaining, EntryFlags flags, byte[] rented)
    {
        key.CopyTo(rented);
        value.CopyTo(rented.AsSpan(key.Length));
        return new EntryRecord(rented.AsMemory(0, key.Length), version, remaining, flags, rented.AsMemory(key.Length, (int)value.Length));
    }

    /// <summary>Where this node is an owner, it is the first to have the entry.</summary>
    private bool TryHoldHere(RemoteWrite write, ReadOnlySpan<ushort> owners)
    {
        var position = owners.IndexOf((ushort)write.Routing.SelfIndex);
        if (position < 0 || write.Routing.SelfIndex < 0)
        {
            return true;
        }

        if (owned.Apply(write.Request.Entry, out var held) != ApplyOutcome.Applied)
        {
            clock.TryMerge(held.Clock);
            write.SpendStamp();
            return false;
        }

        write.Hold(asPrimary: position == 0);

        // As in the answer of another owner: this copy counts only under the table by which the owners were found.
        return ownership.Current.Table.Hash == write.Request.TableHash;
    }

    /// <summary>To the primary first, so that no other owner has what it has not for longer than it must be.</summary>
    private void Send(RemoteWrite write, ReadOnlySpan<ushort> owners, CancellationToken cancellationToken)
    {
        for (var position = 0; position < owners.Length; position++)
        {
            if (owners[position] != write.Routing.SelfIndex)
            {
                write.Send(write.Routing[owners[position]], position == 0, calls, position == 0 ? options.Timeout / 2 : options.Timeout / 4);
            }
        }

        write.EndSending(cancellationToken);
    }

    /// <summary>
    /// Half of the timeout for the first, and then most of what is left, in which a leader can wait for one silent replica; all of it, where nobody else could be
    /// asked instead.
    /// </summary>
    private TimeSpan PatienceFor(bool isLast, bool hasWaited, TimeSpan left) =>
        isLast ? left
        : hasWaited ? left * 0.75
        : left > options.Timeout / 2 ? options.Timeout / 2
        : left;

    /// <summary>Asks until the write is acknowledged or can no longer be.</summary>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    private async ValueTask<WriteReply> AskLeaderAsync(RemoteWrite write, CancellationToken cancellationToken)
    {
        var entry = write.Request.Entry;
        var slot = Slot.Of(entry.Key.Span);
        var request = new WriteRequest(
            entry.Key, entry.Flags == EntryFlags.Tombstone, entry.Version, entry.Remaining, entry.Value, options.WriteAck, TableHash: 0, PassedOver: false);
        var isSmall = entry.Value.Length <= LaneLimits.InlineBytes;

        // A large value rests for as long as it may be on its way besides: so it takes no more than half of what a slow link carries.
        var rest = RetryDelay + LaneLimits.TimeFor(entry.Value.Length);
        var search = new LeaderSearch(calls, mayGuess: isSmall, write.Lost);
        var stamps = write.IsStampSpent ? 1 : 0;
        WriteReply? acknowledged = null;
        WriteReply? lacking = null;
        for (var isNew = write.IsStampSpent; ;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var routing = ownership.Current;

            // What is sent may take its extra time besides: what earlier attempts may have taken is no longer here, and the last one adds its own.
            var left = options.Timeout + request.ExtraTime - time.GetElapsedTime(write.StartedAt);
            var target = left > TimeSpan.Zero ? search.Find(routing, slot) : null;
            if (target is null && acknowledged is null && left > rest && search.IsWorthARest)
            {
                search.BeginAgain();
                isNew |= isSmall && search.ForgetWhoIsAhead();
                await Task.Delay(rest, time, CancellationToken.None).WaitAsync(cancellationToken).ConfigureAwait(false);
                continue;
            }

            if (acknowledged is null && isSmall && left > TimeSpan.Zero && (target is null || !owned.IsReachable(target, routing)) && search.ForgetWhoIsAhead())
            {
                // Nobody else can say that he has it or a later one: it is stamped on, until a leader has made the copies.
                isNew = true;
                continue;
            }

            if (target is null)
            {
                return acknowledged ?? lacking ?? new WriteReply(WriteOutcome.Unavailable, routing.Table.Hash, CopiesNeeded(request.Ack, routing.Table.ReplicaCount), 0);
            }

            request = request with
            {
                // Nobody stamps a write again that was acknowledged or given up: later ones may have come since. In this order: whoever gives up after the
                // stamp was made writes above it.
                Version = isNew && new EntryVersion(clock.Next(), routing.Origin) is var stamp && write.IsAwaited ? stamp : request.Version,
                TableHash = routing.Table.Hash,
                PassedOver = search.HasWaited,
            };
            isNew = false;
            var patience = PatienceFor(search.HasLost && search.IsLast(target, routing, slot), search.HasWaited, left);
            var reply = routing.IsSelf(target)
                ? await owned.LeadAsync(routing, slot, request, left + request.ExtraTime).WaitAsync(cancellationToken).ConfigureAwait(false)
                : await calls.SendAsync(target, request, routing, patience, cancellationToken).ConfigureAwait(false);
            switch (reply)
            {
                case WriteReply { Outcome: WriteOutcome.Older } when acknowledged is null && write.IsAwaited && ++stamps < MaximumStamps:
                    // The reply brought the clock along that the next stamp must be above.
                    isNew = true;
                    break;
                case WriteReply { Outcome: WriteOutcome.Older } superseded
                    when write.IsAwaited && Math.Max(superseded.Copies, search.IsAhead(target, routing)) < superseded.NeededCopies:
                    // Others write this key all the time: one of theirs is the later one. So many owners as any write needs must have that or this one.
                    break;
                case WriteReply { Outcome: WriteOutcome.Acknowledged or WriteOutcome.Older } written:
                    acknowledged = written with { Outcome = WriteOutcome.Acknowledged };
                    if (IsCurrent(routing))
                    {
                        return acknowledged;
                    }

                    // By a table that is over: a node that joins knows some members before the others, and the primary may be among those.
                    break;
                case WriteReply { Outcome: WriteOutcome.NotMine } refusal:
                    search.Refuses(target, routing, refusal.TableHash);
                    break;
                case WriteReply { Outcome: WriteOutcome.Unavailable, Copies: > 0 } incomplete:
                    // An owner that can be reached has not taken its copy. Most likely it is back in another life, and the call to it ended with the one before.
                    lacking = incomplete;
                    search.Refuses(target, routing, incomplete.TableHash);
                    break;
                case WriteReply last:
                    return acknowledged ?? last;
                default:
                    search.GiveUp(target, reply);
                    break;
            }
        }
    }
}
