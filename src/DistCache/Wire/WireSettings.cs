using System.Security.Cryptography;

namespace DistCache.Wire;

/// <summary>What the wire needs to know of the options.</summary>
/// <param name="Cluster">Nodes of another name are refused.</param>
internal sealed record WireSettings(string Cluster)
{
    /// <summary>What every node of the cluster must know, as bytes; null for none.</summary>
    public byte[]? Secret { get; init; }

    /// <summary>The certificates; null where lanes are in plain text.</summary>
    public TlsCredentials? Tls { get; init; }

    /// <summary>How soon an idle lane that is cut is given up.</summary>
    public KeepAlive KeepAlive { get; init; } = KeepAlive.Default;
}

/// <summary>The pings of idle connections.</summary>
/// <param name="DiallerDelay">After so long a silence the dialler pings.</param>
/// <param name="ListenerDelay">The same of the listener.</param>
/// <param name="Timeout">Without an answer for so long either gives the connection up.</param>
internal sealed record KeepAlive(TimeSpan DiallerDelay, TimeSpan ListenerDelay, TimeSpan Timeout)
{
    public static readonly KeepAlive Default = new(WireLimits.KeepAliveDelay, WireLimits.ListenerKeepAliveDelay, WireLimits.KeepAliveTimeout);
}

/// <summary>The nonces of the dials that this node has under way, by which it knows itself when one arrives at its own port.</summary>
internal sealed class OwnNonces
{
    private readonly Lock _lock = new();
    private readonly Dictionary<UInt128, bool> _met = [];

    public byte[] Create()
    {
        var nonce = RandomNumberGenerator.GetBytes(Hello.NonceBytes);
        lock (_lock)
        {
            _met.Add(ToNumber(nonce), false);
        }

        return nonce;
    }

    /// <summary>A dialler said this nonce: true if that was us.</summary>
    public bool Meet(ReadOnlyMemory<byte> nonce)
    {
        lock (_lock)
        {
            var number = ToNumber(nonce);
            if (!_met.ContainsKey(number))
            {
                return false;
            }

            _met[number] = true;
            return true;
        }
    }

    /// <summary>The dial is over: true if it ended at our own port.</summary>
    public bool Forget(ReadOnlyMemory<byte> nonce)
    {
        lock (_lock)
        {
            return _met.Remove(ToNumber(nonce), out var met) && met;
        }
    }

    private static UInt128 ToNumber(ReadOnlyMemory<byte> nonce) =>
        System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(nonce.Span);
}
