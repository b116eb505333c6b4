namespace DistCache.Wire;

/// <summary>
/// Puts long messages together again from their chunks. What a peer announces is bounded for the lane as a whole; used by its reader only.
/// </summary>
internal sealed class ChunkAssembly
{
    /// <summary>All that a sender may have in flight, and one that goes alone.</summary>
    private const long MaximumBytes = (long)WireLimits.BytesInFlight + WireLimits.MaximumMessageBytes;

    private readonly Dictionary<uint, Assembly> _assemblies = [];
    private long _bytes;

    /// <summary>Takes a chunk; gives the message when it is whole. The message is the caller's own.</summary>
    public ReadOnlyMemory<byte>? Add(uint id, Chunk chunk)
    {
        if (!_assemblies.TryGetValue(id, out var assembly))
        {
            if (_bytes + chunk.WholeBytes > MaximumBytes)
            {
                throw RefusalException.OverLimit($"Chunked messages of {_bytes + chunk.WholeBytes} bytes at once, where at most {MaximumBytes} are allowed.");
            }

            assembly = new Assembly(GC.AllocateUninitializedArray<byte>(chunk.WholeBytes));
            _assemblies.Add(id, assembly);
            _bytes += chunk.WholeBytes;
        }

        if (chunk.WholeBytes != assembly.Bytes.Length || chunk.Offset != assembly.Filled || chunk.Part.IsEmpty
            || chunk.Part.Length > chunk.WholeBytes - chunk.Offset)
        {
            throw RefusalException.Malformed(
                $"A chunk of {chunk.Part.Length} bytes at {chunk.Offset} of {chunk.WholeBytes}, where one at {assembly.Filled} of {assembly.Bytes.Length} is expected.");
        }

        chunk.Part.CopyTo(assembly.Bytes.AsMemory(assembly.Filled));
        assembly.Filled += chunk.Part.Length;
        if (assembly.Filled < assembly.Bytes.Length)
        {
            return null;
        }

        Abandon(id);
        return assembly.Bytes;
    }

    public void Abandon(uint id)
    {
        if (_assemblies.Remove(id, out var assembly))
        {
            _bytes -= assembly.Bytes.Length;
        }
    }

    private sealed class Assembly(byte[] bytes)
    {
        public byte[] Bytes { get; } = bytes;

        public int Filled { get; set; }
    }
}
