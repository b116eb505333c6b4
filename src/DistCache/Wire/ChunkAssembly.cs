using DistCache.Peers;

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

    private const int SmallestCharge = 4 << 10;

    private readonly Dictionary<uint, Assembly> _assemblies = [];

    private long _bytes;

    /// <summary>Takes a chunk; gives what holds the message when it is whole. The caller has the one reference to it.</summary>
    public ReceiveBuffer? Add(uint id, Chunk chunk)
    {
        if (!_assemblies.TryGetValue(id, out var assembly))
        {
            if (_bytes + Charge(chunk.WholeBytes) > MaximumBytes)
            {
                throw RefusalException.OverLimit($"Chunked messages of {_bytes + chunk.WholeBytes} bytes at once, where at most {MaximumBytes} are allowed.");
            }

            assembly = new Assembly(chunk.WholeBytes);
            _assemblies.Add(id, assembly);
            _bytes += assembly.ChargedBytes;
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
        return new ReceiveBuffer(assembly.Bytes);
    }

    public void Abandon(uint id)
    {
        if (_assemblies.TryGetValue(id, out var assembly))
        {
            Forget(id, assembly);
            ValueBytes.Return(assembly.Bytes);
        }
    }

    private void Forget(uint id, Assembly assembly)
    {
        _assemblies.Remove(id);
        _bytes -= assembly.ChargedBytes;
    }

    private static int Charge(int wholeBytes) => Math.Max(wholeBytes, SmallestCharge);

    private static void Append(Assembly assembly, ReadOnlySpan<byte> part)
    {
        if (part.Length > assembly.Bytes.Length - assembly.Filled)
        {
            var former = assembly.Bytes;
            assembly.Bytes = ValueBytes.Rent((int)Math.Min(assembly.WholeBytes, (long)Growth * (assembly.Filled + part.Length)));
            former.AsSpan(0, assembly.Filled).CopyTo(assembly.Bytes);
            ValueBytes.Return(former);
        }

        part.CopyTo(assembly.Bytes.AsSpan(assembly.Filled));
        assembly.Filled += part.Length;
    }

    private sealed class Assembly(int wholeBytes)
    {
        public int WholeBytes { get; } = wholeBytes;

        /// <summary>What it counts for: the least ones cost more than their bytes.</summary>
        public int ChargedBytes { get; } = Charge(wholeBytes);

        public byte[] Bytes { get; set; } = [];

        public int Filled { get; set; }
    }
}
