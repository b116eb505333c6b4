namespace DistCache.Wire;

/// <summary>
/// Puts long messages together again from their chunks. What a peer announces is bounded for the lane as a whole, and memory is taken as it
/// is filled: announcing costs nothing. Used by its reader only.
/// </summary>
internal sealed class ChunkAssembly
{
    /// <summary>All that a sender may have in flight, and one that goes alone.</summary>
    private const long MaximumBytes = (long)WireLimits.BytesInFlight + WireLimits.MaximumMessageBytes;

    /// <summary>Room for so many times what has come: 64 MiB in chunks of 1 MiB are copied once, at 8 MiB.</summary>
    private const int Growth = 8;

    private readonly Dictionary<uint, Assembly> _assemblies = [];

    /// <summary>An array that is not used any more, until the garbage collector wants it: whoever abandons again and again makes no garbage.</summary>
    private readonly WeakReference<byte[]?> _spare = new(null);

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

            assembly = new Assembly(chunk.WholeBytes);
            _assemblies.Add(id, assembly);
            _bytes += chunk.WholeBytes;
        }

        if (chunk.WholeBytes != assembly.WholeBytes || chunk.Offset != assembly.Filled || chunk.Part.IsEmpty
            || chunk.Part.Length > chunk.WholeBytes - chunk.Offset)
        {
            throw RefusalException.Malformed(
                $"A chunk of {chunk.Part.Length} bytes at {chunk.Offset} of {chunk.WholeBytes}, where one at {assembly.Filled} of {assembly.WholeBytes} is expected.");
        }

        Append(assembly, chunk.Part.Span);
        if (assembly.Filled < assembly.WholeBytes)
        {
            return null;
        }

        Forget(id, assembly);
        return assembly.Bytes;
    }

    public void Abandon(uint id)
    {
        if (_assemblies.TryGetValue(id, out var assembly))
        {
            Forget(id, assembly);
            _spare.SetTarget(assembly.Bytes);
        }
    }

    private void Forget(uint id, Assembly assembly)
    {
        _assemblies.Remove(id);
        _bytes -= assembly.WholeBytes;
    }

    private void Append(Assembly assembly, ReadOnlySpan<byte> part)
    {
        if (part.Length > assembly.Capacity - assembly.Filled)
        {
            Grow(assembly, (int)Math.Min(assembly.WholeBytes, (long)Growth * (assembly.Filled + part.Length)));
        }

        part.CopyTo(assembly.Bytes.AsSpan(assembly.Filled));
        assembly.Filled += part.Length;
    }

    private void Grow(Assembly assembly, int capacity)
    {
        var former = assembly.Bytes;
        if (capacity < assembly.WholeBytes && _spare.TryGetTarget(out var spare) && spare.Length >= capacity)
        {
            assembly.Bytes = spare;
            _spare.SetTarget(null);
        }
        else
        {
            assembly.Bytes = GC.AllocateUninitializedArray<byte>(capacity);
        }

        assembly.Capacity = capacity;
        former.AsSpan(0, assembly.Filled).CopyTo(assembly.Bytes);
        if (former.Length > 0)
        {
            _spare.SetTarget(former);
        }
    }

    private sealed class Assembly(int wholeBytes)
    {
        public int WholeBytes { get; } = wholeBytes;

        /// <summary>Exactly the message once there is room for all of it, and then nobody else's.</summary>
        public byte[] Bytes { get; set; } = [];

        public int Capacity { get; set; }

        public int Filled { get; set; }
    }
}
