using System.Net;
using System.Net.Sockets;
using DistCache.Entries;
using DistCache.Peers;
using DistCache.Wire;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace DistCache.Tests.Wire;

/// <summary>That the framework's client does what <see cref="SentWatch"/> relies on; the order of the race itself is in <see cref="BatchWriterTests"/>.</summary>
internal sealed class SentWatchTests
{
    private const int WindowBytes = 65_535;

    /// <summary>Five of them are more than the window holds, each is one frame.</summary>
    private const int ValueBytes = 15_000;

    private const int Messages = 5;

    /// <summary>
    /// 1 The peer reads nothing, until the last batch waits for its window; 2 then it reads, and says nothing; 3 nobody sends anything else. The rest
    /// of the batch comes only if the writer flushes it.
    /// </summary>
    [Test]
    public async Task Batch_ThatWaitedForTheWindow_ArrivesWithoutAnotherMessage()
    {
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var expected = 0L;
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var peer = await StartAsync(async http =>
        {
            await http.Response.Body.FlushAsync();
            await gate.Task;
            var buffer = new byte[4 << 10];
            long count = 0;
            for (int read; (read = await http.Request.Body.ReadAsync(buffer)) > 0;)
            {
                count += read;
                if (count == expected)
                {
                    arrived.SetResult();
                }
            }
        });
        var sent = new SentWatch();
        var content = new DuplexContent(() => ReadOnlyMemory<byte>.Empty);
        using var client = new HttpMessageInvoker(new SocketsHttpHandler { UseProxy = false, ConnectCallback = (context, stop) => ConnectAsync(context, sent, stop) });
        using var request = new HttpRequestMessage(HttpMethod.Post, peer.Urls.Single()) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact, Content = content };
        using var response = await client.SendAsync(request, CancellationToken.None).WaitAsync(TestNode.Patience);
        var writer = new BatchWriter(Lane.Data, new HybridClock(new ManualTime()));
        using var stop = new CancellationTokenSource();
        var running = writer.RunAsync(await content.OpenAsync(default).WaitAsync(TestNode.Patience), sent, stop.Token);

        for (var id = 1u; id < Messages; id++)
        {
            Send(id);
            Assert.That(() => writer.SentBytes, Is.GreaterThanOrEqualTo(id * ValueBytes).After(Patience.Milliseconds, 1));
        }

        var each = writer.SentBytes / (Messages - 1);
        Assert.That(Messages * each, Is.GreaterThan(WindowBytes), "nothing waits");
        expected = Messages * each;
        Send(Messages);
        gate.SetResult();

        await arrived.Task.WaitAsync(TestNode.Patience);
        Assert.That(() => writer.SentBytes, Is.EqualTo(expected).After(Patience.Milliseconds, 1));
        await stop.CancelAsync();
        writer.Close(finishLong: false);
        content.Complete();
        await ((Task)running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        void Send(uint id)
        {
            writer.Append(id, new WriteRequest("key"u8.ToArray(), false, default, RemainingTime.Unlimited, new byte[ValueBytes], WriteAck.All, 0, false));
            writer.Wake();
        }
    }

    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, SentWatch sent, CancellationToken stop)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(context.DnsEndPoint, stop);
        return new DialledStream(socket, sent);
    }

    private static async Task<WebApplication> StartAsync(RequestDelegate handle)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            (kestrel.Limits.Http2.InitialStreamWindowSize, kestrel.Limits.Http2.InitialConnectionWindowSize) = (WindowBytes, WindowBytes);
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2);
        });
        var web = builder.Build();
        web.Run(handle);
        await web.StartAsync();
        return web;
    }
}
