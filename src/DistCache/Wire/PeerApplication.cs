using DistCache.Diagnostics;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace DistCache.Wire;

/// <summary>What our port answers: the lanes of peers, and gRPC health checks. All else is UNIMPLEMENTED.</summary>
internal sealed class PeerApplication(WireContext context) : IHttpApplication<HttpContext>
{
    private const string SecondLane = "A connection carries one lane.";

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    public async Task ProcessRequestAsync(HttpContext http)
    {
        var guest = http.Features.GetRequiredFeature<Guest>();
        guest.HasSpoken = true;
        if (!HttpMethods.IsPost(http.Request.Method) || !IsGrpc(http.Request.ContentType))
        {
            await RefuseAsync(http, "path", ForeignText.Clean($"{http.Request.Method} of {http.Request.ContentType ?? "nothing"}")).ConfigureAwait(false);
            return;
        }

        switch (http.Request.Path.Value)
        {
            case GrpcProtocol.ExchangePath when guest.TryOpenLane():
                await ServedLane.ServeAsync(context, http, guest).ConfigureAwait(false);
                break;
            case GrpcProtocol.ExchangePath:
                Metrics.LaneRefused("limit");
                Log.LaneRefused(context.Logger, AddressOf(http), SecondLane);
                await EndAsync(http, GrpcStatus.ResourceExhausted, SecondLane).ConfigureAwait(false);
                break;
            case GrpcProtocol.HealthCheckPath:
                await HealthCheck.ServeAsync(context, http).ConfigureAwait(false);
                break;
            case GrpcProtocol.HealthWatchPath:
                await EndAsync(http, GrpcStatus.Unimplemented, "Watch is not served: call Check.").ConfigureAwait(false);
                break;
            default:
                await RefuseAsync(http, "path", "a method that is not served").ConfigureAwait(false);
                break;
        }
    }

    /// <summary>For the log.</summary>
    public static string AddressOf(HttpContext http) => $"{http.Connection.RemoteIpAddress}:{http.Connection.RemotePort}";

    /// <summary>Ends a response with a gRPC status: in trailers, or where nothing was sent yet in the only headers.</summary>
    public static async Task EndAsync(HttpContext http, GrpcStatus status, string message)
    {
        var number = ((int)status).ToString(System.Globalization.CultureInfo.InvariantCulture);
        if (http.Response.HasStarted)
        {
            http.Response.AppendTrailer(GrpcProtocol.StatusName, number);
            if (message.Length > 0)
            {
                http.Response.AppendTrailer(GrpcProtocol.MessageName, GrpcProtocol.EncodeMessage(message));
            }
        }
        else
        {
            http.Response.ContentType = GrpcProtocol.ContentType;
            http.Response.Headers[GrpcProtocol.StatusName] = number;
            http.Response.Headers[GrpcProtocol.MessageName] = GrpcProtocol.EncodeMessage(message);
        }

        await http.Response.CompleteAsync().ConfigureAwait(false);
    }

    /// <summary>gRPC allows a suffix such as "+proto".</summary>
    private static bool IsGrpc(string? contentType) =>
        contentType?.StartsWith(GrpcProtocol.ContentType, StringComparison.OrdinalIgnoreCase) == true
        && (contentType.Length == GrpcProtocol.ContentType.Length || contentType[GrpcProtocol.ContentType.Length] is '+' or ';');

    private async Task RefuseAsync(HttpContext http, string cause, string what)
    {
        Metrics.ConnectionRefused(cause);
        Log.ConnectionRefused(context.Logger, AddressOf(http), $"It asked for {what}.");
        await EndAsync(http, GrpcStatus.Unimplemented, $"This port serves {GrpcProtocol.ExchangePath} and {GrpcProtocol.HealthCheckPath}.")
            .ConfigureAwait(false);
    }
}
