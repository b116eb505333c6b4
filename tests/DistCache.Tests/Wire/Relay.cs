using System.Net;
using System.Net.Sockets;
using DistCache.Peers;

namespace DistCache.Tests.Wire;

/// <summary>Stands between a dialler and a listener, notes what the latter says, and can be cut.</summary>
internal sealed class Relay : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly MemoryStream _said = new();
    private readonly List<Socket> _sockets = [];
    private volatile bool _isCut;

    public Relay(PeerAddress listener)
    {
        _listener.Start();
        _ = RunAsync(listener);
    }

    public PeerAddress Address => new("127.0.0.1", ((IPEndPoint)_listener.LocalEndpoint).Port);

    /// <summary>The lengths of the records of TLS that came from the listener: 5 bytes before each, of which the last two are its length.</summary>
    public List<int> Records()
    {
        byte[] said;
        lock (_said)
        {
            said = _said.ToArray();
        }

        List<int> lengths = [];
        for (var at = 0; at + 5 <= said.Length; at += 5 + lengths[^1])
        {
            lengths.Add((said[at + 3] << 8) | said[at + 4]);
        }

        return lengths;
    }

    /// <summary>From now on nothing passes, and no end is told of it.</summary>
    public void Cut() => _isCut = true;

    public void Dispose()
    {
        _listener.Dispose();
        _sockets.ForEach(socket => socket.Dispose());
    }

    private async Task RunAsync(PeerAddress listener)
    {
        var dialler = await _listener.AcceptSocketAsync();
        var there = new Socket(SocketType.Stream, ProtocolType.Tcp);
        _sockets.AddRange([dialler, there]);
        await there.ConnectAsync(listener.Host, listener.Port);
        await Task.WhenAll(CopyAsync(dialler, there, isNoted: false), CopyAsync(there, dialler, isNoted: true));
    }

    private async Task CopyAsync(Socket from, Socket to, bool isNoted)
    {
        var buffer = new byte[32 << 10];
        while (await from.ReceiveAsync(buffer) is > 0 and var count)
        {
            if (_isCut)
            {
                continue;
            }

            if (isNoted)
            {
                lock (_said)
                {
                    _said.Write(buffer, 0, count);
                }
            }

            await to.SendAsync(buffer.AsMemory(0, count));
        }
    }
}
