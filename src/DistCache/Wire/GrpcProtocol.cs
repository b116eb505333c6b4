using System.Globalization;
using System.Text;

namespace DistCache.Wire;

/// <summary>The parts of gRPC over HTTP/2 that lie outside of the messages (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).</summary>
internal static class GrpcProtocol
{
    public const string ContentType = "application/grpc";
    public const string StatusName = "grpc-status";
    public const string MessageName = "grpc-message";

    public const string ExchangePath = "/distcache.v1.Peer/Exchange";
    public const string HealthCheckPath = "/grpc.health.v1.Health/Check";
    public const string HealthWatchPath = "/grpc.health.v1.Health/Watch";
    public const string PeerService = "distcache.v1.Peer";

    /// <summary>The percent encoding of a status message: printable ASCII but for '%' stands for itself.</summary>
    public static string EncodeMessage(string message)
    {
        var encoded = new StringBuilder(message.Length);
        foreach (var value in Encoding.UTF8.GetBytes(message))
        {
            if (value is >= 0x20 and <= 0x7E and not (byte)'%')
            {
                encoded.Append((char)value);
            }
            else
            {
                encoded.Append(CultureInfo.InvariantCulture, $"%{value:X2}");
            }
        }

        return encoded.ToString();
    }

    public static string DecodeMessage(string message) => Uri.UnescapeDataString(message);
}
