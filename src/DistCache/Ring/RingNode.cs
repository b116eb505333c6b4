using DistCache.Peers;

namespace DistCache.Ring;

/// <summary>A node as the ring sees it.</summary>
/// <param name="Name">Decides where its points stand.</param>
/// <param name="Zone">Its failure domain; empty if it did not name one, which is a zone like any other.</param>
internal sealed record RingNode(NodeName Name, string Zone);
