using System.Diagnostics;
using System.Text;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache.ClusterTests;

/// <summary>Does what it is told, each command on its own so that many are under way at once, and replies when it is done.</summary>
internal sealed class CommandLoop(IDistributedCache cache, DistCacheCluster cluster, TakeoverWatch takeover)
{
    private const int FewThreads = 8;

    private readonly Lock _output = new();

    public async Task RunAsync(string? url)
    {
        Say(new Reply(0) { Url = url });
        Beat.Start((from, to) => Say(new Reply(0) { Starved = [from, to] }));
        while (await Console.In.ReadLineAsync() is { } line)
        {
            _ = Task.Run(() => AnswerAsync(Json.Read<Command>(line)));
        }
    }

    private async Task AnswerAsync(Command command)
    {
        try
        {
            var started = Stopwatch.GetTimestamp();
            var reply = await DoAsync(command);
            Say(reply with { Milliseconds = Stopwatch.GetElapsedTime(started).TotalMilliseconds });
        }
        catch (Exception e)
        {
            Say(new Reply(command.Id) { Error = $"{e.GetType().Name}: {e.Message}" });
        }
    }

    private async Task<Reply> DoAsync(Command command)
    {
        var reply = new Reply(command.Id);
        switch (command.Verb)
        {
            case Command.Get:
                var values = await Task.WhenAll(command.Keys.Select(key => cache.GetAsync(key)));
                return reply with { Values = [.. values.Select(value => value is null ? null : Encoding.UTF8.GetString(value))] };
            case Command.Set:
                var bytes = Encoding.UTF8.GetBytes(command.Value!);
                await Task.WhenAll(command.Keys.Select(key => cache.SetAsync(key, bytes, new DistributedCacheEntryOptions())));
                return reply;
            case Command.Remove:
                await Task.WhenAll(command.Keys.Select(key => cache.RemoveAsync(key)));
                return reply;
            case Command.Members:
                return reply with { View = View() };
            case Command.Collect:
                return reply with { HeapBytes = GC.GetTotalMemory(forceFullCollection: true) };
            case Command.IsSafe:
                return reply with { IsSafe = await cluster.IsSafeToStopAsync() };
            case Command.Block:
                using (var machine = new Oversleep())
                {
                    var calls = await Task.WhenAll(command.Keys.Select(key => Task.Run(() => GetAndWait(key, machine))));
                    return reply with { Values = [.. calls.Select(call => call.Value)], LongestMilliseconds = calls.Max(call => call.Milliseconds) };
                }

            case Command.FixPool:
                var threads = Math.Max(FewThreads, Environment.ProcessorCount);
                ThreadPool.SetMinThreads(threads, threads);
                ThreadPool.SetMaxThreads(threads, threads);
                return reply;
            default:
                throw new ArgumentException($"\"{command.Verb}\" is not a verb.");
        }
    }

    private (string? Value, double Milliseconds) GetAndWait(string key, Oversleep machine)
    {
        var (started, taken) = (Stopwatch.GetTimestamp(), machine.Total);
        var value = cache.Get(key);
        var time = Stopwatch.GetElapsedTime(started) - (machine.Total - taken);
        return (value is null ? null : Encoding.UTF8.GetString(value), time.TotalMilliseconds);
    }

    private NodeView View()
    {
        var view = cluster.View;
        return new NodeView(
            view.TableHash,
            takeover.IsImporting,
            [.. view.Members.Select(member => new SeenMember(member.NodeName, member.Incarnation, member.State, member.ShareOfSlots))]);
    }

    private void Say(Reply reply)
    {
        var line = Json.Write(reply);
        lock (_output)
        {
            Console.Out.WriteLine(line);
            Console.Out.Flush();
        }
    }
}
