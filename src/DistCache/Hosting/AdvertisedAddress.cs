using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using DistCache.Peers;

namespace DistCache.Hosting;

/// <summary>
/// The address that peers dial: what the options say; else the listening one if it is a single address; else the local address from
/// which the first seed is reached, as the routing table of the system tells it; else that of the first network interface.
/// </summary>
internal static class AdvertisedAddress
{
    /// <param name="advertise">The option, if it is set.</param>
    /// <param name="bound">What is listened on, with the real port.</param>
    /// <param name="seeds">In their order; one that does not resolve is passed over.</param>
    public static PeerAddress Find(PeerAddress? advertise, PeerAddress bound, IEnumerable<PeerAddress> seeds)
    {
        if (advertise is { } told)
        {
            return told;
        }

        if (!IPAddress.TryParse(bound.Host, out var listening) || !(listening.Equals(IPAddress.Any) || listening.Equals(IPAddress.IPv6Any)))
        {
            return bound;
        }

        // A loopback route counts only where every seed has one: then all nodes are on this machine. One seed may be this host's own name.
        IPAddress? loopback = null;
        foreach (var seed in seeds)
        {
            if (TryFindRoute(seed, out var local))
            {
                if (!IPAddress.IsLoopback(local))
                {
                    return new PeerAddress(local.ToString(), bound.Port);
                }

                loopback ??= IsLiteralLoopback(seed) ? local : null;
            }
        }

        var address = loopback ?? FindInterface() ?? IPAddress.Loopback;
        return new PeerAddress(address.ToString(), bound.Port);
    }

    private static bool IsLiteralLoopback(PeerAddress seed) =>
        seed.Host == "localhost" || (IPAddress.TryParse(seed.Host, out var ip) && IPAddress.IsLoopback(ip));

    /// <summary>The first address of an interface that is up, for a node that knows no seed yet.</summary>
    private static IPAddress? FindInterface() => NetworkInterface.GetAllNetworkInterfaces()
        .Where(network => network.OperationalStatus == OperationalStatus.Up && network.NetworkInterfaceType != NetworkInterfaceType.Loopback)
        .SelectMany(network => network.GetIPProperties().UnicastAddresses)
        .Select(unicast => unicast.Address)
        .FirstOrDefault(address => address.AddressFamily == AddressFamily.InterNetwork);

    /// <summary>Connecting a datagram socket sends nothing: it only asks the system for the route.</summary>
    private static bool TryFindRoute(PeerAddress seed, out IPAddress local)
    {
        try
        {
            using var socket = new Socket(SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(seed.Host, seed.Port);
            local = ((IPEndPoint)socket.LocalEndPoint!).Address;
            local = local.IsIPv4MappedToIPv6 ? local.MapToIPv4() : local;
            return true;
        }
        catch (SocketException)
        {
            local = IPAddress.None;
            return false;
        }
    }
}
