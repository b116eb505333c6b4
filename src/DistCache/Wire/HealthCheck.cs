using System.Text;
using DistCache.Diagnostics;
using Microsoft.AspNetCore.Http;

namespace DistCache.Wire;

/// <summary>
/// <c>grpc.health.v1.Health/Check</c> (github.com/grpc/grpc/blob/master/doc/health-checking.md): SERVING for the node and for its peer
/// service, NOT_FOUND for any other. Request and reply are protobuf messages of one field each.
/// </summary>
internal static class HealthCheck
{
    private const int MaximumRequestBytes = 1 << 10;

    /// <summary>HealthCheckRequest: field 1, length-delimited, the name of a service.</summary>
    private const byte ServiceTag = 0x0A;

    /// <summary>HealthCheckResponse: field 1, a varint, 1 for SERVING; with its gRPC prefix.</summary>
    private static readonly byte[] Serving = [0, 0, 0, 0, 2, 0x08, 1];

    public static async Task ServeAsync(WireContext context, HttpContext http)
    {
        using var deadline = new CancellationTokenSource(WireLimits.HandshakeTimeout, context.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, http.RequestAborted);
        using var reader = new FrameReader(http.Request.Body, MaximumRequestBytes);
        var (status, reason) = (GrpcStatus.Ok, "");
        try
        {
            var request = await reader.ReadAsync(either.Token).ConfigureAwait(false)
                ?? throw RefusalException.Malformed("The stream ends before a request.");
            var service = ReadService(request.Span);
            if (service is "" or GrpcProtocol.PeerService)
            {
                http.Response.ContentType = GrpcProtocol.ContentType;
                await http.Response.Body.WriteAsync(Serving, either.Token).ConfigureAwait(false);
            }
            else
            {
                (status, reason) = (GrpcStatus.NotFound, $"There is no such service; this node has {GrpcProtocol.PeerService}.");
            }
        }
        catch (RefusalException refusal)
        {
            Metrics.ConnectionRefused(refusal.Cause);
            (status, reason) = (refusal.Status, refusal.Message);
        }
        catch (OperationCanceledException) when (!http.RequestAborted.IsCancellationRequested)
        {
            (status, reason) = (GrpcStatus.ResourceExhausted, $"No request within {WireLimits.HandshakeTimeout.TotalSeconds} s.");
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            // The caller is gone: nobody to answer.
            return;
        }

        await PeerApplication.EndAsync(http, status, reason).ConfigureAwait(false);
    }

    /// <summary>Only the first field counts; what a later version adds behind it is passed over with the rest of the message.</summary>
    private static string ReadService(ReadOnlySpan<byte> request)
    {
        if (request.IsEmpty)
        {
            return "";
        }

        if (request.Length < 2 || request[0] != ServiceTag || request[1] > 0x7F || request[1] > request.Length - 2)
        {
            throw RefusalException.Malformed("A HealthCheckRequest that is not one, or names a service in more than 127 bytes.");
        }

        return Encoding.UTF8.GetString(request.Slice(2, request[1]));
    }
}
