using System.Collections.Concurrent;
using DistCache.Diagnostics;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Replication;

/// <summary>
/// Fetches what this node owns after a change of the table. The sources are asked and never computed: after a split, a fast restart
/// or two joins at once, "the previous owner" is the wrong node.
/// <list type="number">
/// <item>Every live member is asked which slots it holds anything of, until it works by the same table: from then on it leads
/// no write of slots that it does not own, so that what is read from it afterwards is all there is.</item>
/// <item>Each is read to its end, a few at a time, except where its digests equal this node's. One that does not answer is asked again for as long as it is a member.</item>
/// <item>A slot that nobody holds any more is owned (<see cref="Import"/>).</item>
/// </list>
/// A new table ends this and starts another, which knows what was still missing.
/// </summary>
internal sealed class Takeover(
    Ownership ownership, MemoryTier memory, PeerCalls calls, Transfer transfer, Absences absences, TimeProvider time, ReplicationOptions options, ILogger logger)
{
    /// <summary>So many members are read from at once.</summary>
    private const int ConcurrentImports = 4;

    /// <summary>How often a member is asked to come to the same table before it is read as it is.</summary>
    private const int MaximumDisagreements = 30;

    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan FailureDelay = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource _stopping = new();

    public void Start() => ownership.ImportBegins += Begin;

    public void Stop()
    {
        ownership.ImportBegins -= Begin;
        _stopping.Cancel();
    }

    /// <summary>Says what this node holds, and whom it misses.</summary>
    public HoldingsReply Handle(HoldingsRequest request)
    {
        var routing = ownership.Current;
        var (missing, tombstoneLifetime) = absences.Tell(routing.View.Self.Record.Identity);
        return new(routing.Table.Hash, memory.HeldSlots(), missing, routing.Import.IsComplete && !routing.IsUnsure, tombstoneLifetime);
    }

    private void Begin(Routing routing)
    {
        if (!routing.Import.IsComplete)
        {
            _ = RunAsync(routing);
        }
    }

    private async Task RunAsync(Routing routing)
    {
        var started = time.GetTimestamp();
        while (!routing.Import.IsComplete && ReferenceEquals(ownership.Current.Import, routing.Import))
        {
            try
            {
                var sources = new ConcurrentQueue<Member>(routing.LiveMembers.Where(member => member.Name != routing.View.Self.Name));
                await Task.WhenAll(Enumerable.Range(0, ConcurrentImports).Select(_ => ReadSourcesAsync(sources, routing))).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception exception)
            {
                // Whom it had not read to its end it reads again: what came already changes nothing.
                Metrics.BackgroundFailed(nameof(Takeover));
                Log.TakeoverFailed(logger, exception);
                await Task.Delay(FailureDelay, time).ConfigureAwait(false);
            }
        }

        if (routing.Import.IsComplete)
        {
            Log.TakeoverComplete(logger, routing.Table.Hash, time.GetElapsedTime(started).TotalMilliseconds);
        }
    }

    private async Task ReadSourcesAsync(ConcurrentQueue<Member> sources, Routing routing)
    {
        while (sources.TryDequeue(out var source))
        {
            if (IsWanted(routing, source) && !await TryReadAsync(source, routing).ConfigureAwait(false))
            {
                // Behind the others: a few that are silent would keep everybody waiting.
                sources.Enqueue(source);
                await Task.Delay(RetryDelay, time).ConfigureAwait(false);
                continue;
            }

            // Read to its end, or no member any more: either way nothing is to be had there.
            if (ReferenceEquals(ownership.Current.Import, routing.Import))
            {
                routing.Import.Finished(source.Record.Identity);
            }
        }
    }

    private async ValueTask<bool> TryReadAsync(Member source, Routing routing)
    {
        HoldingsReply? holdings = null;
        for (var asked = 0; asked < MaximumDisagreements && holdings?.TableHash != routing.Table.Hash; asked++)
        {
            if (asked > 0)
            {
                await Task.Delay(RetryDelay, time).ConfigureAwait(false);
            }

            if (!IsWanted(routing, source))
            {
                return false;
            }

            var askedAt = time.GetTimestamp();
            var reply = await calls.SendAsync(source, new HoldingsRequest(routing.Table.Hash), routing, options.Timeout, _stopping.Token).ConfigureAwait(false);
            if (reply is not HoldingsReply told)
            {
                return false;
            }

            ownership.Hear(source.Record.Identity, told, askedAt);
            holdings = told;
        }

        if (!IsWanted(routing, source))
        {
            return false;
        }

        var wanted = routing.Import.Told(source.Record.Identity, holdings!.Held);
        if (!wanted.IsEmpty && await FindDifferingAsync(source, wanted, routing).ConfigureAwait(false) is { } differing)
        {
            wanted = routing.Import.Told(source.Record.Identity, differing);
        }

        return wanted.IsEmpty || await transfer.FetchAsync(source, wanted, routing, () => IsWanted(routing, source), _stopping.Token).ConfigureAwait(false);
    }

    /// <summary>Of slots that this node holds already, only those whose digests differ need to be read; null if that is not known.</summary>
    private async ValueTask<SlotSet?> FindDifferingAsync(Member source, SlotSet slots, Routing routing)
    {
        var reply = await calls.SendAsync(source, AntiEntropy.DigestsOf(memory, slots, routing), routing, options.Timeout, _stopping.Token).ConfigureAwait(false);
        return reply is DigestReply { IsSameTable: true } digest ? digest.Differing : null;
    }

    /// <summary>No newer table replaced this import, and the source still is a member in this life.</summary>
    private bool IsWanted(Routing routing, Member source)
    {
        _stopping.Token.ThrowIfCancellationRequested();
        var current = ownership.Current;
        return ReferenceEquals(current.Import, routing.Import)
            && current.View.Find(source.Name) is { } member
            && member.Record.Identity == source.Record.Identity
            && Ownership.MayHold(member)
            && !absences.IsStranger(source.Record.Identity);
    }
}
