using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>A gRPC stream to a node on which a test says whatever it likes.</summary>
internal sealed class RawLane : IDisposable
{
    private readonly HttpMessageInvoker _client;
    private readonly DuplexContent _content;
    private readonly Task<HttpResponseMessage> _response;
    private FrameReader? _reader;

    public RawLane(PeerAddress address, byte[] firstBytes, string path = GrpcProtocol.ExchangePath, HttpMessageInvoker? client = null)
    {
        _client = client ?? new HttpMessageInvoker(new SocketsHttpHandler { UseProxy = false });
        _content = new DuplexContent(() => firstBytes);
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri($"http://{address}{path}"))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = _content,
        };
        request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        _response = _client.SendAsync(request, CancellationToken.None);
    }

    /// <summary>A body with its gRPC prefix.</summary>
    public static byte[] Frame(Action<MessageBuffer> write)
    {
        var buffer = new MessageBuffer();
        var start = buffer.BeginMessage();
        write(buffer);
        buffer.EndMessage(start);
        return buffer.Written.ToArray();
    }

    public static byte[] Frame(params byte[] body) => Frame(buffer => buffer.Append(body));

    public static byte[] Frame(Hello hello) => Frame(buffer => ControlCodec.Write(new MessagePackWriter(buffer), hello));

    public static byte[] Frame(uint id, PeerRequest request) => Frame(buffer => MessageCodec.Encode(buffer, id, 1, request));

    public static Hello Hello(string cluster = "test", Lane lane = Lane.Data, ulong clock = 1, bool hasSecret = false) =>
        new(WireLimits.ProtocolVersion, cluster, SampleMessages.Identity, new byte[DistCache.Wire.Hello.NonceBytes], clock, lane, hasSecret);

    public async Task WriteAsync(params byte[] bytes)
    {
        var stream = await _content.OpenAsync(CancellationToken.None).WaitAsync(TestNode.Patience);
        await stream.WriteAsync(bytes);
        await stream.FlushAsync();
    }

    /// <summary>Ends the request, as a client does that has no more to say.</summary>
    public void EndRequest() => _content.Complete();

    /// <summary>The next message from the node; null at the end of the stream.</summary>
    public async Task<byte[]?> ReadAsync()
    {
        var response = await _response.WaitAsync(TestNode.Patience);
        _reader ??= new FrameReader(await response.Content.ReadAsStreamAsync(), 2 << 20);
        using var patience = new CancellationTokenSource(TestNode.Patience);
        return (await _reader.ReadAsync(patience.Token))?.ToArray();
    }

    /// <summary>Reads to the end and gives the gRPC status with its message.</summary>
    public async Task<(GrpcStatus Status, string Message)> ReadStatusAsync()
    {
        while (await ReadAsync() is not null)
        {
        }

        var response = await _response;
        var status = Find(response, GrpcProtocol.StatusName);
        Assert.That(status, Is.Not.Null, $"no gRPC status, HTTP {(int)response.StatusCode}");
        return ((GrpcStatus)int.Parse(status!, CultureInfo.InvariantCulture), GrpcProtocol.DecodeMessage(Find(response, GrpcProtocol.MessageName) ?? ""));
    }

    public void Dispose()
    {
        // Without this the connection lives for as long as the stream does.
        if (_response.IsCompletedSuccessfully)
        {
            _response.Result.Dispose();
        }

        _content.Complete();
        _client.Dispose();
        _reader?.Dispose();
    }

    private static string? Find(HttpResponseMessage response, string name) =>
        response.TrailingHeaders.TryGetValues(name, out var values) || response.Headers.TryGetValues(name, out values) ? values.Single() : null;
}
