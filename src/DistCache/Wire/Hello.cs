using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>The first message each way: who speaks, and on which lane.</summary>
/// <param name="Protocol">The version of docs/wire-protocol.md that the sender speaks.</param>
/// <param name="Cluster">The name of its cluster.</param>
/// <param name="Identity">Its name and incarnation.</param>
/// <param name="Nonce">16 random bytes, new for each connection: a node knows itself by them, and no proof is good twice.</param>
/// <param name="Clock">Its hybrid clock.</param>
/// <param name="Lane">What the dialler wants the connection for; the listener repeats it.</param>
/// <param name="HasSecret">A proof of the shared secret follows, and one is expected.</param>
internal sealed record Hello(
    uint Protocol, string Cluster, NodeIdentity Identity, ReadOnlyMemory<byte> Nonce, ulong Clock, Lane Lane, bool HasSecret)
{
    public const int NonceBytes = 16;
}

/// <summary>A part of a message that was too long to go at once.</summary>
/// <param name="WholeBytes">The length of the message.</param>
/// <param name="Offset">Where the part begins; parts of one message come in order.</param>
/// <param name="Part">Its bytes.</param>
internal readonly record struct Chunk(int WholeBytes, int Offset, ReadOnlyMemory<byte> Part);
