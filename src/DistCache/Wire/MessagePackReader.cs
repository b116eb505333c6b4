using System.Buffers.Binary;
using System.Text;

namespace DistCache.Wire;

/// <summary>
/// Reads one message that a stranger may have written: every length is checked against what is left before anything is allocated or
/// skipped, nothing recurses, and whatever is wrong ends in one <see cref="RefusalException"/>. All forms of a type are accepted.
/// </summary>
internal ref struct MessagePackReader(ReadOnlyMemory<byte> message)
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly ReadOnlyMemory<byte> _message = message;
    private readonly ReadOnlySpan<byte> _bytes = message.Span;
    private int _position;

    public readonly int Remaining => _bytes.Length - _position;

    /// <summary>Reads the header of an array that has at least <paramref name="fields"/> elements; gives how many it has beyond them.</summary>
    public int ReadFields(int fields)
    {
        var count = ReadArrayHeader();
        return count >= fields
            ? count - fields
            : throw RefusalException.Malformed($"An array of {count} elements, where at least {fields} are expected.");
    }

    /// <summary>The number of elements, of which each takes at least one byte of what is left.</summary>
    public int ReadArrayHeader()
    {
        var code = ReadByte();
        var count = code switch
        {
            >= MessagePackCode.FixArray and <= MessagePackCode.FixArray + MessagePackCode.MaximumFixArray => (uint)(code & 0x0F),
            MessagePackCode.Array16 => BinaryPrimitives.ReadUInt16BigEndian(Take(2)),
            MessagePackCode.Array32 => BinaryPrimitives.ReadUInt32BigEndian(Take(4)),
            _ => throw Unexpected(code, "an array"),
        };
        return count <= (uint)Remaining ? (int)count : throw Truncated();
    }

    public bool TryReadNil()
    {
        if (Remaining == 0 || _bytes[_position] != MessagePackCode.Nil)
        {
            return false;
        }

        _position++;
        return true;
    }

    public bool ReadBoolean()
    {
        var code = ReadByte();
        return code switch
        {
            MessagePackCode.False => false,
            MessagePackCode.True => true,
            _ => throw Unexpected(code, "a boolean"),
        };
    }

    public ulong ReadUInt64()
    {
        var code = ReadByte();
        return code switch
        {
            <= MessagePackCode.MaximumFixInt => code,
            MessagePackCode.UInt8 => Take(1)[0],
            MessagePackCode.UInt16 => BinaryPrimitives.ReadUInt16BigEndian(Take(2)),
            MessagePackCode.UInt32 => BinaryPrimitives.ReadUInt32BigEndian(Take(4)),
            MessagePackCode.UInt64 => BinaryPrimitives.ReadUInt64BigEndian(Take(8)),
            MessagePackCode.Int8 => NotNegative((sbyte)Take(1)[0]),
            MessagePackCode.Int16 => NotNegative(BinaryPrimitives.ReadInt16BigEndian(Take(2))),
            MessagePackCode.Int32 => NotNegative(BinaryPrimitives.ReadInt32BigEndian(Take(4))),
            MessagePackCode.Int64 => NotNegative(BinaryPrimitives.ReadInt64BigEndian(Take(8))),
            >= MessagePackCode.NegativeFixInt => NotNegative((sbyte)code),
            _ => throw Unexpected(code, "an integer"),
        };
    }

    /// <summary>An integer in [0, <paramref name="maximum"/>].</summary>
    public ulong ReadUpTo(ulong maximum)
    {
        var value = ReadUInt64();
        return value <= maximum
            ? value
            : throw RefusalException.Malformed($"The integer {value}, where at most {maximum} is allowed.");
    }

    public uint ReadUInt32() => (uint)ReadUpTo(uint.MaxValue);

    public int ReadInt32() => (int)ReadUpTo(int.MaxValue);

    public long ReadInt64() => (long)ReadUpTo(long.MaxValue);

    /// <summary>A part of the message itself, not a copy.</summary>
    public ReadOnlyMemory<byte> ReadBinary(int maximum)
    {
        var code = ReadByte();
        var length = code switch
        {
            MessagePackCode.Bin8 => Take(1)[0],
            MessagePackCode.Bin16 => BinaryPrimitives.ReadUInt16BigEndian(Take(2)),
            MessagePackCode.Bin32 => BinaryPrimitives.ReadUInt32BigEndian(Take(4)),
            _ => throw Unexpected(code, "bytes"),
        };
        var start = _position;
        Take(Checked(length, maximum));
        return _message[start.._position];
    }

    public string ReadString(int maximumBytes)
    {
        var code = ReadByte();
        var length = code switch
        {
            >= MessagePackCode.FixStr and <= MessagePackCode.FixStr + MessagePackCode.MaximumFixStr => (uint)(code & 0x1F),
            MessagePackCode.Str8 => Take(1)[0],
            MessagePackCode.Str16 => BinaryPrimitives.ReadUInt16BigEndian(Take(2)),
            MessagePackCode.Str32 => BinaryPrimitives.ReadUInt32BigEndian(Take(4)),
            _ => throw Unexpected(code, "a string"),
        };
        try
        {
            return StrictUtf8.GetString(Take(Checked(length, maximumBytes)));
        }
        catch (DecoderFallbackException)
        {
            throw RefusalException.Malformed("A string that is not well-formed UTF-8.");
        }
    }

    /// <summary>
    /// Passes over elements of any type. A loop and not a recursion: an element with parts adds them to what is to be passed over, and
    /// each takes at least a byte, so the message bounds the work.
    /// </summary>
    public void Skip(int count)
    {
        for (var left = (long)count; left > 0; left--)
        {
            left += SkipOne();
        }
    }

    /// <summary>Passes over fields that a newer peer added, and makes sure that nothing follows them.</summary>
    public void Finish(int extraFields)
    {
        Skip(extraFields);
        if (Remaining != 0)
        {
            throw RefusalException.Malformed($"{Remaining} bytes after the end of the message.");
        }
    }

    /// <summary>Passes over one element and gives how many parts of it follow.</summary>
    private long SkipOne()
    {
        var code = ReadByte();
        switch (code)
        {
            case <= MessagePackCode.MaximumFixInt or >= MessagePackCode.NegativeFixInt:
            case MessagePackCode.Nil or MessagePackCode.False or MessagePackCode.True:
                return 0;
            case < MessagePackCode.FixArray:
                return 2 * (code & 0x0F);
            case < MessagePackCode.FixStr:
                return code & 0x0F;
            case < MessagePackCode.Nil:
                return SkipBytes(code & 0x1F);
            case MessagePackCode.Bin8 or MessagePackCode.Str8:
                return SkipBytes(Take(1)[0]);
            case MessagePackCode.Bin16 or MessagePackCode.Str16:
                return SkipBytes(BinaryPrimitives.ReadUInt16BigEndian(Take(2)));
            case MessagePackCode.Bin32 or MessagePackCode.Str32:
                return SkipBytes(BinaryPrimitives.ReadUInt32BigEndian(Take(4)));
            case MessagePackCode.Ext8:
                return SkipBytes(1L + Take(1)[0]);
            case MessagePackCode.Ext16:
                return SkipBytes(1L + BinaryPrimitives.ReadUInt16BigEndian(Take(2)));
            case MessagePackCode.Ext32:
                return SkipBytes(1L + BinaryPrimitives.ReadUInt32BigEndian(Take(4)));
            case >= MessagePackCode.Float32 and <= MessagePackCode.Float64:
                return SkipBytes(4 << (code - MessagePackCode.Float32));
            case >= MessagePackCode.UInt8 and <= MessagePackCode.UInt64:
                return SkipBytes(1 << (code - MessagePackCode.UInt8));
            case >= MessagePackCode.Int8 and <= MessagePackCode.Int64:
                return SkipBytes(1 << (code - MessagePackCode.Int8));
            case >= MessagePackCode.FixExt1 and <= MessagePackCode.FixExt16:
                return SkipBytes(1L + (1 << (code - MessagePackCode.FixExt1)));
            case MessagePackCode.Array16:
                return BinaryPrimitives.ReadUInt16BigEndian(Take(2));
            case MessagePackCode.Array32:
                return BinaryPrimitives.ReadUInt32BigEndian(Take(4));
            case MessagePackCode.Map16:
                return 2L * BinaryPrimitives.ReadUInt16BigEndian(Take(2));
            case MessagePackCode.Map32:
                return 2L * BinaryPrimitives.ReadUInt32BigEndian(Take(4));
            default:
                throw Unexpected(code, "an element");
        }
    }

    private long SkipBytes(long length)
    {
        Take(length <= Remaining ? (int)length : throw Truncated());
        return 0;
    }

    private byte ReadByte() => _position < _bytes.Length ? _bytes[_position++] : throw Truncated();

    private ReadOnlySpan<byte> Take(int length)
    {
        if (length > Remaining)
        {
            throw Truncated();
        }

        var taken = _bytes.Slice(_position, length);
        _position += length;
        return taken;
    }

    private readonly int Checked(uint length, int maximum) =>
        length > (uint)Remaining ? throw Truncated()
        : length > (uint)maximum ? throw RefusalException.Malformed($"{length} bytes, where at most {maximum} are allowed.")
        : (int)length;

    private static ulong NotNegative(long value) =>
        value >= 0 ? (ulong)value : throw RefusalException.Malformed($"The integer {value}, where none is negative.");

    private static RefusalException Truncated() => RefusalException.Malformed("The message ends before what it announces.");

    private static RefusalException Unexpected(byte code, string expected) =>
        RefusalException.Malformed($"The byte 0x{code:X2}, where {expected} is expected.");
}
