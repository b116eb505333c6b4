using System.Buffers.Binary;

namespace ThreeNodes;

/// <summary>Names a write: who made it, and when it began.</summary>
/// <param name="Writer">One caller in one life of one node; no two writers share a number.</param>
/// <param name="Start">
/// By <see cref="System.Diagnostics.Stopwatch.GetTimestamp"/>, taken before the call. That clock is one for all processes of a machine,
/// which is what makes "this write had ended before that one began" provable across them.
/// </param>
internal readonly record struct Stamp(int Writer, long Start);

/// <summary>
/// A value that tells by itself who wrote it, when, for which key, and whether it is whole:
/// <code>
/// key (4) | writer (4) | start (8) | length (4) | bytes that follow from the stamp ...
/// </code>
/// </summary>
internal static class StampedValue
{
    private const int HeaderBytes = 20;

    public static byte[] Create(int key, Stamp stamp, int length)
    {
        var value = new byte[length];
        Fill(value, key, stamp);
        return value;
    }

    /// <summary>False if a single bit is not as it was written, or was written for another key.</summary>
    public static bool TryRead(ReadOnlySpan<byte> value, int key, out Stamp stamp)
    {
        stamp = default;
        if (value.Length is < HeaderBytes or > Workload.MaximumValueBytes)
        {
            return false;
        }

        stamp = new Stamp(BinaryPrimitives.ReadInt32LittleEndian(value[4..]), BinaryPrimitives.ReadInt64LittleEndian(value[8..]));
        Span<byte> expected = stackalloc byte[value.Length];
        Fill(expected, key, stamp);
        return value.SequenceEqual(expected);
    }

    private static void Fill(Span<byte> value, int key, Stamp stamp)
    {
        BinaryPrimitives.WriteInt32LittleEndian(value, key);
        BinaryPrimitives.WriteInt32LittleEndian(value[4..], stamp.Writer);
        BinaryPrimitives.WriteInt64LittleEndian(value[8..], stamp.Start);
        BinaryPrimitives.WriteInt32LittleEndian(value[16..], value.Length);
        var state = (ulong)stamp.Start ^ ((ulong)(uint)stamp.Writer << 32);
        for (var i = HeaderBytes; i < value.Length; i++)
        {
            state = (state * 6364136223846793005) + 1442695040888963407;
            value[i] = (byte)(state >> 56);
        }
    }
}
