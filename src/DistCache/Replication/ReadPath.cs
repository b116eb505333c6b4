using System.Collections.Concurrent;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>
/// A read, from the question to the answer that counts.
/// <list type="number">
/// <item>The primary of an owned slot answers alone, from memory; so do any owner with <see cref="ReadFrom.Nearest"/>, and a node without others.</item>
/// <item>Else the owners are asked: see <see cref="Inquiry"/>.</item>
/// <item>If they work by another table, the members are exchanged and the question is asked again.</item>
/// </list>
/// A request is never forwarded.
/// </summary>
internal sealed class ReadPath(
    Ownership ownership, MemoryTier memory, PeerCalls calls, ReadRepair repair, Renewals renewals, Recency recency, Pulse pulse, TimeProvider time, ReplicationOptions options)
{
    /// <summary>How often a read starts again because the nodes it asked work by another table.</summary>
    private const int MaximumRetries = 2;

    /// <summary>Room for a value whose length is not known yet; most fit.</summary>
    private const int FirstRentBytes = 4_096;

    /// <summary>Objects of reads that are over, kept for others: as many as callers that wait at once, and no more than this.</summary>
    private const int MaximumUnused = 4_096;

    private readonly ConcurrentQueue<RemoteRead> _unused = new();
    private readonly HedgeClock _hedges = new(time, Inquiry.HedgeDelay);
    private int _made;
    private volatile bool _isClosed;

    /// <summary>What a caller gets where no owner could be reached, for this reason; a miss, unless it throws.</summary>
    public Func<string, ReadReply?> Unanswered { get; set; } = static _ => null;

    /// <summary>Why nobody gave an answer.</summary>
    public string Silence => _isClosed ? "this node has stopped" : "no owner of the key could be reached";

    /// <summary>No read of a caller on this node waits for others: of the objects made none is in use.</summary>
    public bool IsIdle => Volatile.Read(ref _made) == _unused.Count;

    /// <summary>Nobody is asked any more for callers that come from now on; reads under way go on.</summary>
    public void Close()
    {
        _isClosed = true;

        // A read takes its object before it looks: whoever is not refused is seen by IsIdle.
        Interlocked.MemoryBarrier();
    }

    /// <summary>This node may answer from its memory, without asking anybody; the slot is told where it may not.</summary>
    public bool AnswersAlone(ReadOnlySpan<byte> key, out Slot slot)
    {
        slot = default;
        if (ownership.Current.IsAlone)
        {
            return true;
        }

        slot = Slot.Of(key);
        return AnswersAlone(slot);
    }

    /// <summary>The same of any key of a slot.</summary>
    public bool AnswersAlone(Slot slot)
    {
        var standing = StandingOf(slot, out var routing);
        if (routing.IsAlone)
        {
            return true;
        }

        // The others go on without a node that has stopped, and nobody tells it what they overwrite.
        return !_isClosed && standing switch
        {
            Standing.Primary => options.ReadFrom != ReadFrom.Majority,
            Standing.Replica => options.ReadFrom == ReadFrom.Nearest,
            _ => false,
        };
    }

    /// <summary>
    /// Looks into this node's memory; a use there is told to the other owners, also where there is no room for the value, or none is wanted: of sliding entries,
    /// and a sample of all.
    /// </summary>
    public LookupOutcome Look(ReadOnlySpan<byte> key, Span<byte> destination, bool renew, out EntryInfo info, out int valueLength)
    {
        var outcome = memory.Read(key, destination, renew, out info, out valueLength);
        if (renew && outcome is LookupOutcome.Hit or LookupOutcome.TooSmall)
        {
            if (info.Expiration.Window > 0)
            {
                renewals.Used(key, Slot.Of(key), info);
            }
            else
            {
                recency.Used(key, info.Version);
            }
        }

        return outcome;
    }

    /// <summary>Asks whoever must be asked; null, or what <see cref="Unanswered"/> makes of it, if no owner could be reached.</summary>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public ValueTask<ReadReply?> ReadAsync(ReadOnlySpan<byte> key, bool renew, bool withValue, CancellationToken cancellationToken) =>
        Begin(key, Slot.Of(key), renew, withValue, cancellationToken).Answer;

    /// <summary>The same; the outcome is taken from the read itself.</summary>
    public RemoteRead Begin(ReadOnlySpan<byte> key, Slot slot, bool renew, bool withValue, CancellationToken cancellationToken)
    {
        var read = _unused.TryDequeue(out var unused) ? unused : MakeRead();
        var routing = ownership.Current;
        read.Begin(key, slot, routing, renew, withValue, time.GetTimestamp(), cancellationToken);
        if (_isClosed)
        {
            read.End((ReadReply?)null);
        }
        else if (options.ReadFrom != ReadFrom.Majority && FindRemotePrimary(routing, slot) is { } first)
        {
            // The way of nearly every remote read: one question, one answer that counts.
            read.Ask(first, calls, _hedges, options.Timeout / 2);
        }
        else
        {
            GoOn(read, firstReply: null);
        }

        return read;
    }

    /// <summary>The first question was answered.</summary>
    public void OnAnswer(RemoteRead read, PeerReply reply, TimeSpan patience)
    {
        var concluded = ConcludeAsync(read, reply, patience);
        if (concluded.IsCompletedSuccessfully && Inquiry.IsSettledBy(reply, read.Routing.Table.Hash, options))
        {
            read.End((ReadReply)reply);
            return;
        }

        GoOn(read, AfterAsync(concluded, reply));

        static async Task<PeerReply> AfterAsync(ValueTask concluded, PeerReply reply)
        {
            await concluded.ConfigureAwait(false);
            return reply;
        }
    }

    public ValueTask ConcludeAsync(RemoteRead read, PeerReply reply, TimeSpan patience) =>
        calls.ConcludeAsync(read.First!, reply, read.Routing, read.IsFollowing ? Lane.Bulk : Lane.Data, read.StartedAt, patience, read.Token);

    public void Recycle(RemoteRead read)
    {
        if (_unused.Count < MaximumUnused)
        {
            _unused.Enqueue(read);
        }
        else
        {
            Interlocked.Decrement(ref _made);
        }
    }

    /// <summary>The value of a hit; the reply is released.</summary>
    public static byte[]? ToArray(ReadReply? reply)
    {
        byte[]? value = null;
        if (reply?.Outcome == ReadOutcome.Hit)
        {
            value = GC.AllocateUninitializedArray<byte>(reply.Value.Length);
            ValueBytes.Copy(reply.Value.Span, value);
        }

        reply?.Release();
        return value;
    }

    /// <summary>One question was not enough, or there was nobody to put it to.</summary>
    public void GoOn(RemoteRead read, Task<PeerReply>? firstReply)
    {
        read.Keep();
        _ = GoOnAsync();

        async Task GoOnAsync()
        {
            try
            {
                read.End(await AskAllAsync(read, firstReply).ConfigureAwait(false));
            }
            catch (Exception exception)
            {
                read.End(exception);
            }
            finally
            {
                // It is not used again.
                Interlocked.Decrement(ref _made);
            }
        }
    }

    /// <summary>Asks until the matter is settled; null if no owner could be reached.</summary>
    private async ValueTask<ReadReply?> AskAllAsync(RemoteRead read, Task<PeerReply>? firstReply)
    {
        var (routing, first, startedAt) = (read.Routing, read.First, read.StartedAt);
        var wasInterrupted = false;
        for (var retry = 0; ; retry++)
        {
            if (IsInterrupted())
            {
                (startedAt, wasInterrupted) = (time.GetTimestamp(), true);
            }

            var left = Limit() - time.GetElapsedTime(startedAt);
            if (left <= TimeSpan.Zero)
            {
                return null;
            }

            var request = read.Request with { TableHash = routing.Table.Hash };
            var inquiry = new Inquiry(routing, read.Slot, request, Handle, calls, repair, time, left, options);
            var best = await inquiry.RunAsync(first, firstReply, read.Token).ConfigureAwait(false);
            if (best is not null || !(inquiry.WasDisowned || (wasInterrupted && retry == 0) || IsInterrupted()))
            {
                return best;
            }

            if (retry == MaximumRetries)
            {
                // A join is settled sooner at one node than at another, by up to a settle window, and an owner has died meanwhile.
                return inquiry.WasDisowned ? await inquiry.AskEverybodyAsync(read.Token).ConfigureAwait(false) : null;
            }

            (routing, first, firstReply) = (ownership.Current, null, null);
        }

        TimeSpan Limit() => options.Timeout + (read.IsFollowing ? LaneLimits.TimeForLargeReply : TimeSpan.Zero);

        // No read takes so long: this process stood still in the middle of it. The others had no time to answer, and it begins anew, once.
        bool IsInterrupted() => !wasInterrupted && time.GetElapsedTime(startedAt) > Limit() + (options.Timeout / 4);
    }

    /// <summary>Answers another node's read; a value that is longer than <paramref name="room"/> is not there, but its length is told.</summary>
    public ReadHead Answer(in ReadQuestion question, Span<byte> room)
    {
        var standing = StandingOf(Slot.Of(question.Key), out var routing);
        if (standing == Standing.Holder && (!question.AsHolder || routing.IsUnsure))
        {
            return NotMine(routing);
        }

        var found = Look(question.Key, question.WithValue ? room : [], question.Renew, out var info, out var length);
        var isHit = found is LookupOutcome.Hit or LookupOutcome.TooSmall;
        return new ReadHead(
            isHit ? ReadOutcome.Hit : found == LookupOutcome.Tombstone ? ReadOutcome.Tombstone : ReadOutcome.Miss,
            standing,
            routing.Table.Hash,
            info.Version,
            !isHit ? default : info.Expiration == Expiration.None ? RemainingTime.Unlimited : info.ToRemaining(Now),
            isHit && question.WithValue ? length : 0,
            standing == Standing.Importing ? routing.Import.HoldersOf(Slot.Of(question.Key)) : []);
    }

    /// <summary>This node does not own the slot, by this table.</summary>
    public static ReadHead NotMine(Routing routing) => new(ReadOutcome.NotMine, Standing.Holder, routing.Table.Hash, default, default, 0, []);

    /// <summary>The same as an object, with the value in rented memory.</summary>
    public ReadReply Handle(ReadRequest request)
    {
        var question = new ReadQuestion(request.Key.Span, request.Renew, request.WithValue, request.AsHolder);
        var buffer = request.WithValue ? ValueBytes.Rent(FirstRentBytes) : [];
        var head = Answer(question, buffer);
        while (head.ValueLength > buffer.Length)
        {
            ValueBytes.Return(buffer);
            buffer = ValueBytes.Rent(head.ValueLength);
            head = Answer(question, buffer);
        }

        return ReadReply.Of(head, buffer.AsMemory(0, head.ValueLength), rented: buffer);
    }

    /// <summary>
    /// What this node's word is worth now; right after a standstill not what it was before. The routing is taken after the pulse was asked: whoever
    /// notes a standstill, this thread or another one, has changed it by then.
    /// </summary>
    private Standing StandingOf(Slot slot, out Routing routing)
    {
        if (!ownership.Current.IsAlone)
        {
            pulse.NoticeStandstill();
        }

        routing = ownership.Current;
        return routing.StandingOf(slot);
    }

    /// <summary>The primary, if it is another node and believed to answer.</summary>
    private Member? FindRemotePrimary(Routing routing, Slot slot)
    {
        var primary = routing[routing.Table.Owners(slot)[0]];
        return !routing.IsSelf(primary) && calls.IsUsable(primary) ? primary : null;
    }

    private RemoteRead MakeRead()
    {
        Interlocked.Increment(ref _made);
        return new RemoteRead(this);
    }

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();
}
