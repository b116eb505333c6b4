using System.Collections.Concurrent;
using System.Diagnostics;
using DistCache;
using Microsoft.Extensions.Caching.Distributed;

namespace ThreeNodes;

/// <summary>What a node does all day: take the director's words, put load on the cache, and report.</summary>
internal sealed class NodeLoop(
    NodeArguments arguments, Workload workload, IDistributedCache cache, DistCacheCluster cluster, EvictionCounter evictions)
{
    /// <summary>Requests of this node that are under way at the same time.</summary>
    private const int Callers = 8;

    private const int ReadAttempts = 3;

    /// <summary>Short, for what a killed node has not yet reported cannot be checked.</summary>
    private static readonly TimeSpan ReportInterval = TimeSpan.FromMilliseconds(200);

    private readonly ConcurrentQueue<Write> _writes = new();
    private readonly Latencies _latencies = new();
    private readonly Lock _output = new();
    private long _next = arguments.FirstRequest;
    private long _requests = arguments.FirstRequest;
    private long _gets;
    private long _hits;
    private long _sets;
    private long _failedGets;
    private long _failedSets;

    /// <summary>Until the director closes our input, which it also does by dying: no node outlives it.</summary>
    public async Task RunAsync()
    {
        using var end = new CancellationTokenSource();
        using var load = new CancellationTokenSource();
        var reports = ReportAsync(end.Token);
        var callers = Task.CompletedTask;
        Say(Lines.Of(Lines.Ready));
        while (await Console.In.ReadLineAsync() is { } line)
        {
            var words = Lines.Split(line);
            switch (words.FirstOrDefault())
            {
                case Lines.Start:
                    callers = Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(() => CallAsync(caller, load.Token))));
                    break;
                case Lines.Stop:
                    await load.CancelAsync();
                    await callers;
                    Report();
                    Say(Lines.Of(Lines.Stopped));
                    break;
                case Lines.Check:
                    Say(Lines.OfReadings(await Task.WhenAll(Lines.Keys(words).Select(ReadAsync))));
                    break;
            }
        }

        await load.CancelAsync();
        await callers;
        await end.CancelAsync();
        await reports;
    }

    private async Task CallAsync(int caller, CancellationToken stopping)
    {
        var random = new Random();
        var nodes = arguments.Ports.Length;
        var writer = (((arguments.Life * nodes) + arguments.Index) * Callers) + caller;
        while (!stopping.IsCancellationRequested)
        {
            // The requests of the workload are dealt to the nodes in turn.
            var number = (Interlocked.Increment(ref _next) - 1) * nodes;
            var request = workload.RequestAt(number + arguments.Index, random);

            // The pattern that a cache is for: get; what is not there comes from the source (here it is made up), and goes in.
            if (request.IsSet || await GetAsync(request.Key) is null)
            {
                await SetAsync(request.Key, writer, random.Next(Workload.MinimumValueBytes, Workload.MaximumValueBytes + 1));
            }

            Interlocked.Increment(ref _requests);
        }
    }

    private async Task<byte[]?> GetAsync(int key)
    {
        var start = Stopwatch.GetTimestamp();
        try
        {
            Interlocked.Increment(ref _gets);
            var value = await cache.GetAsync(workload.KeyOf(key));
            if (value is not null)
            {
                Interlocked.Increment(ref _hits);
            }

            return value;
        }
        catch (DistCacheUnavailableException)
        {
            Interlocked.Increment(ref _failedGets);
            return null;
        }
        finally
        {
            _latencies.Record(start);
        }
    }

    private async Task SetAsync(int key, int writer, int length)
    {
        var stamp = new Stamp(writer, Stopwatch.GetTimestamp());
        var value = StampedValue.Create(key, stamp, length);
        try
        {
            Interlocked.Increment(ref _sets);
            await cache.SetAsync(workload.KeyOf(key), value, new DistributedCacheEntryOptions());
            _writes.Enqueue(new Write(key, stamp, Stopwatch.GetTimestamp()));
        }
        catch (DistCacheUnavailableException)
        {
            // Not acknowledged, so nothing is promised about it.
            Interlocked.Increment(ref _failedSets);
        }
        finally
        {
            _latencies.Record(stamp.Start);
        }
    }

    private async Task<Reading> ReadAsync(int key)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var value = await cache.GetAsync(workload.KeyOf(key));
                if (value is null)
                {
                    return new Reading(key, Shown.Nothing, default);
                }

                return StampedValue.TryRead(value, key, out var stamp)
                    ? new Reading(key, Shown.Value, stamp)
                    : new Reading(key, Shown.Damaged, default);
            }
            catch (DistCacheUnavailableException) when (attempt < ReadAttempts)
            {
                // A busy machine is not a lost write.
            }
            catch (DistCacheUnavailableException)
            {
                return new Reading(key, Shown.Failed, default);
            }
        }
    }

    private async Task ReportAsync(CancellationToken end)
    {
        using var timer = new PeriodicTimer(ReportInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(end))
            {
                Report();
            }
        }
        catch (OperationCanceledException)
        {
            // The director has closed our input.
        }
    }

    /// <summary>One at a time, so that all that is done before "stopped" is also said before it.</summary>
    private void Report()
    {
        lock (_output)
        {
            List<Write> writes = [];
            while (_writes.TryDequeue(out var write))
            {
                writes.Add(write);
            }

            if (writes.Count > 0)
            {
                Say(Lines.OfWrites(writes));
            }

            Say(Lines.OfProgress(Progress()));
        }
    }

    private Progress Progress()
    {
        var view = cluster.View;
        var (median, percentile99, longest) = _latencies.Take();
        return new Progress(
            Interlocked.Read(ref _requests),
            Interlocked.Read(ref _gets),
            Interlocked.Read(ref _hits),
            Interlocked.Read(ref _sets),
            Interlocked.Read(ref _failedGets),
            Interlocked.Read(ref _failedSets),
            view.Members.Single(member => member.IsSelf).ShareOfSlots,
            median,
            percentile99,
            longest,
            view.Members.Count(member => member.State == MemberState.Alive),
            view.TableHash,
            evictions.Read());
    }

    private void Say(string line)
    {
        lock (_output)
        {
            Console.Out.WriteLine(line);
            Console.Out.Flush();
        }
    }
}
