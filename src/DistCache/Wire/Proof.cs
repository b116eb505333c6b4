using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace DistCache.Wire;

/// <summary>
/// Shows knowledge of the shared secret without sending it: HMAC-SHA256 under the secret over
/// <code>
/// byte      role: 1 dialler, 2 listener
/// byte      lane
/// uint32    protocol version, big endian
/// string    cluster name                         (a string: uint32 length, big endian, then UTF-8)
/// string    dialler's name,   int64 its incarnation, big endian, 16 bytes its nonce
/// string    listener's name,  int64 its incarnation, big endian, 16 bytes its nonce
/// </code>
/// The role keeps a proof from being reflected, the two nonces keep it from being replayed. The dialler proves first, so that a
/// stranger who dials learns nothing that depends on the secret.
/// </summary>
internal static class Proof
{
    public const int Bytes = HMACSHA256.HashSizeInBytes;

    public static byte[] ByDialler(ReadOnlySpan<byte> secret, Hello dialler, Hello listener) => Compute(1, secret, dialler, listener);

    public static byte[] ByListener(ReadOnlySpan<byte> secret, Hello dialler, Hello listener) => Compute(2, secret, dialler, listener);

    private static byte[] Compute(byte role, ReadOnlySpan<byte> secret, Hello dialler, Hello listener)
    {
        using var mac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, secret);
        mac.AppendData([role, (byte)dialler.Lane]);
        AppendInteger(mac, (int)dialler.Protocol);
        AppendString(mac, dialler.Cluster);
        AppendNode(mac, dialler);
        AppendNode(mac, listener);
        return mac.GetHashAndReset();
    }

    private static void AppendNode(IncrementalHash mac, Hello hello)
    {
        Span<byte> incarnation = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(incarnation, hello.Identity.Incarnation);
        AppendString(mac, hello.Identity.Name.ToString());
        mac.AppendData(incarnation);
        mac.AppendData(hello.Nonce.Span);
    }

    private static void AppendString(IncrementalHash mac, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        AppendInteger(mac, bytes.Length);
        mac.AppendData(bytes);
    }

    private static void AppendInteger(IncrementalHash mac, int value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        mac.AppendData(bytes);
    }
}
