using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace DistCache.Peers;

/// <summary>Where a node can be dialled: a host name or IP address, and a port.</summary>
/// <param name="Host">A DNS name or an address; an IPv6 address without its brackets.</param>
/// <param name="Port">1 to 65 535, or 0 where the system is to choose one to listen on.</param>
internal readonly record struct PeerAddress(string Host, int Port)
{
    public const int MaximumHostLength = 255;

    /// <summary>Parses <c>host:port</c>; an IPv6 address stands in brackets.</summary>
    public static bool TryParse(string? text, out PeerAddress address)
    {
        address = default;
        var colon = text?.LastIndexOf(':') ?? -1;
        if (colon <= 0 || !int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port > 65_535)
        {
            return false;
        }

        var host = text![..colon];
        var bracketed = host.StartsWith('[') && host.EndsWith(']');
        host = bracketed ? host[1..^1] : host;
        if (host.Length is 0 or > MaximumHostLength || (bracketed ? !IsIPv6(host) : host.Contains(':')) || host.Any(IsNeverInAHost))
        {
            return false;
        }

        address = new PeerAddress(host, port);
        return true;
    }

    public static PeerAddress Parse(string text) => TryParse(text, out var address)
        ? address
        : throw new FormatException($"\"{text}\" is not an address: expected host:port, with an IPv6 address in brackets.");

    public override string ToString() =>
        Host?.Contains(':') == true ? string.Create(CultureInfo.InvariantCulture, $"[{Host}]:{Port}") : string.Create(CultureInfo.InvariantCulture, $"{Host}:{Port}");

    private static bool IsIPv6(string host) => IPAddress.TryParse(host, out var address) && address.AddressFamily == AddressFamily.InterNetworkV6;

    /// <summary>What shows that this is a URL, a list or a mistake. Letters beyond ASCII are left to the resolver.</summary>
    private static bool IsNeverInAHost(char c) => char.IsWhiteSpace(c) || char.IsControl(c) || "/\\?#@[],;".Contains(c, StringComparison.Ordinal);
}
