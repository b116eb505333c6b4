using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text.Unicode;

namespace DistCache.Entries;

/// <summary>
/// A key is its UTF-8 form, compared byte by byte: ordinal, case-sensitive, untrimmed. Ill-formed UTF-16 has no such form and is
/// refused, since two different strings would become one key.
/// </summary>
internal static class EntryKey
{
    /// <summary>The hard limit; also small enough to encode a key on the stack.</summary>
    public const int MaximumBytes = 4_096;

    private const int LastAscii = 0x7F;

    /// <summary>Encodes <paramref name="key"/> into <paramref name="buffer"/> and returns the part that it fills.</summary>
    /// <param name="key">Any well-formed string, the empty one too.</param>
    /// <param name="buffer">At least <paramref name="maximumBytes"/> long.</param>
    /// <param name="maximumBytes">The limit of this cache, at most <see cref="MaximumBytes"/>.</param>
    /// <exception cref="ArgumentException">The key is ill-formed, or longer than the limit.</exception>
    public static Span<byte> Encode(string key, Span<byte> buffer, int maximumBytes)
    {
        var target = buffer[..maximumBytes];
        return key.Length <= maximumBytes && TryNarrow(key, target) ? target[..key.Length] : EncodeAny(key, target);
    }

    /// <summary>The way of nearly every key: ASCII, of which each character is a byte. False, and anything written, where it is not.</summary>
    private static bool TryNarrow(string key, Span<byte> target)
    {
        var source = MemoryMarshal.Cast<char, ushort>(key.AsSpan());
        var seen = Vector128<ushort>.Zero;
        while (source.Length >= 2 * Vector128<ushort>.Count)
        {
            var (low, high) = (Vector128.Create(source), Vector128.Create(source[Vector128<ushort>.Count..]));
            seen |= low | high;
            Vector128.Narrow(low, high).CopyTo(target);
            source = source[(2 * Vector128<ushort>.Count)..];
            target = target[(2 * Vector128<ushort>.Count)..];
        }

        if (source.Length >= Vector128<ushort>.Count)
        {
            var eight = Vector128.Create(source);
            seen |= eight;
            BinaryPrimitives.WriteUInt64LittleEndian(target, ToBytes(eight));
            source = source[Vector128<ushort>.Count..];
            target = target[Vector128<ushort>.Count..];
        }

        if (source.Length > 0 && key.Length >= Vector128<ushort>.Count && target.Length >= Vector128<ushort>.Count)
        {
            // The last eight characters, of which those that are done already are shifted out: one store, so that who reads the bytes again
            // need not wait for many. Behind the key it leaves zeros that nobody looks at.
            var last = Vector128.Create(MemoryMarshal.Cast<char, ushort>(key.AsSpan(key.Length - Vector128<ushort>.Count)));
            seen |= last;
            BinaryPrimitives.WriteUInt64LittleEndian(target, ToBytes(last) >> (8 * (Vector128<ushort>.Count - source.Length)));
            source = default;
        }

        uint seenSingly = 0;
        for (var i = 0; i < source.Length; i++)
        {
            seenSingly |= source[i];
            target[i] = (byte)source[i];
        }

        return seenSingly <= LastAscii && Vector128.LessThanOrEqualAll(seen, Vector128.Create((ushort)LastAscii));
    }

    /// <summary>The first one is the lowest.</summary>
    private static ulong ToBytes(Vector128<ushort> characters)
    {
        var bytes = Vector128.Narrow(characters, characters).AsUInt64().ToScalar();
        return BitConverter.IsLittleEndian ? bytes : BinaryPrimitives.ReverseEndianness(bytes);
    }

    private static Span<byte> EncodeAny(string key, Span<byte> target)
    {
        var status = Utf8.FromUtf16(key, target, out _, out var written, replaceInvalidSequences: false);
        return status switch
        {
            OperationStatus.Done => target[..written],
            OperationStatus.DestinationTooSmall => throw TooLong(key, target.Length),
            _ => throw new ArgumentException(
                "The key is not well-formed UTF-16: it contains a surrogate without its partner.", nameof(key)),
        };
    }

    private static ArgumentException TooLong(string key, int maximumBytes) => new(
        string.Create(
            CultureInfo.InvariantCulture,
            $"The key is longer than the limit: {System.Text.Encoding.UTF8.GetByteCount(key)} bytes of UTF-8, at most {maximumBytes} are allowed."),
        nameof(key));
}
