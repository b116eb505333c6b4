using System.Buffers.Binary;
using System.Text;

namespace DistCache.Wire;

/// <summary>
/// Writes the part of MessagePack that our messages use (github.com/msgpack/msgpack/blob/master/spec.md): nil, booleans, integers in
/// their shortest form, str, bin and arrays.
/// </summary>
internal readonly ref struct MessagePackWriter(MessageBuffer buffer)
{
    public void WriteNil() => WriteByte(MessagePackCode.Nil);

    public void Write(bool value) => WriteByte(value ? MessagePackCode.True : MessagePackCode.False);

    public void Write(ulong value)
    {
        if (value <= MessagePackCode.MaximumFixInt)
        {
            WriteByte((byte)value);
            return;
        }

        var span = buffer.GetSpan(9);
        switch (value)
        {
            case <= byte.MaxValue:
                span[0] = MessagePackCode.UInt8;
                span[1] = (byte)value;
                buffer.Advance(2);
                break;
            case <= ushort.MaxValue:
                span[0] = MessagePackCode.UInt16;
                BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)value);
                buffer.Advance(3);
                break;
            case <= uint.MaxValue:
                span[0] = MessagePackCode.UInt32;
                BinaryPrimitives.WriteUInt32BigEndian(span[1..], (uint)value);
                buffer.Advance(5);
                break;
            default:
                span[0] = MessagePackCode.UInt64;
                BinaryPrimitives.WriteUInt64BigEndian(span[1..], value);
                buffer.Advance(9);
                break;
        }
    }

    /// <summary>A number that is never negative in our messages: it takes the unsigned forms.</summary>
    public void Write(long value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        Write((ulong)value);
    }

    public void WriteArrayHeader(int count)
    {
        var span = buffer.GetSpan(5);
        switch (count)
        {
            case <= MessagePackCode.MaximumFixArray:
                span[0] = (byte)(MessagePackCode.FixArray | count);
                buffer.Advance(1);
                break;
            case <= ushort.MaxValue:
                span[0] = MessagePackCode.Array16;
                BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)count);
                buffer.Advance(3);
                break;
            default:
                span[0] = MessagePackCode.Array32;
                BinaryPrimitives.WriteInt32BigEndian(span[1..], count);
                buffer.Advance(5);
                break;
        }
    }

    public void WriteBinary(ReadOnlySpan<byte> value)
    {
        WriteBinaryHeader(value.Length);
        buffer.Append(value);
    }

    /// <summary>The header alone, where the bytes follow by another way.</summary>
    public void WriteBinaryHeader(int length)
    {
        var span = buffer.GetSpan(5);
        switch (length)
        {
            case <= byte.MaxValue:
                span[0] = MessagePackCode.Bin8;
                span[1] = (byte)length;
                buffer.Advance(2);
                break;
            case <= ushort.MaxValue:
                span[0] = MessagePackCode.Bin16;
                BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)length);
                buffer.Advance(3);
                break;
            default:
                span[0] = MessagePackCode.Bin32;
                BinaryPrimitives.WriteInt32BigEndian(span[1..], length);
                buffer.Advance(5);
                break;
        }
    }

    public void WriteString(string value)
    {
        var length = Encoding.UTF8.GetByteCount(value);
        var span = buffer.GetSpan(3 + length);
        var header = 0;
        switch (length)
        {
            case <= MessagePackCode.MaximumFixStr:
                span[0] = (byte)(MessagePackCode.FixStr | length);
                header = 1;
                break;
            case <= byte.MaxValue:
                span[0] = MessagePackCode.Str8;
                span[1] = (byte)length;
                header = 2;
                break;
            default:
                span[0] = MessagePackCode.Str16;
                BinaryPrimitives.WriteUInt16BigEndian(span[1..], checked((ushort)length));
                header = 3;
                break;
        }

        Encoding.UTF8.GetBytes(value, span[header..]);
        buffer.Advance(header + length);
    }

    private void WriteByte(byte value)
    {
        buffer.GetSpan(1)[0] = value;
        buffer.Advance(1);
    }
}

/// <summary>The first bytes of MessagePack's forms.</summary>
internal static class MessagePackCode
{
    public const byte MaximumFixInt = 0x7F;
    public const byte FixMap = 0x80;
    public const byte FixArray = 0x90;
    public const byte FixStr = 0xA0;
    public const byte Nil = 0xC0;
    public const byte False = 0xC2;
    public const byte True = 0xC3;
    public const byte Bin8 = 0xC4;
    public const byte Bin16 = 0xC5;
    public const byte Bin32 = 0xC6;
    public const byte Ext8 = 0xC7;
    public const byte Ext16 = 0xC8;
    public const byte Ext32 = 0xC9;
    public const byte Float32 = 0xCA;
    public const byte Float64 = 0xCB;
    public const byte UInt8 = 0xCC;
    public const byte UInt16 = 0xCD;
    public const byte UInt32 = 0xCE;
    public const byte UInt64 = 0xCF;
    public const byte Int8 = 0xD0;
    public const byte Int16 = 0xD1;
    public const byte Int32 = 0xD2;
    public const byte Int64 = 0xD3;
    public const byte FixExt1 = 0xD4;
    public const byte FixExt16 = 0xD8;
    public const byte Str8 = 0xD9;
    public const byte Str16 = 0xDA;
    public const byte Str32 = 0xDB;
    public const byte Array16 = 0xDC;
    public const byte Array32 = 0xDD;
    public const byte Map16 = 0xDE;
    public const byte Map32 = 0xDF;
    public const byte NegativeFixInt = 0xE0;

    public const int MaximumFixArray = 15;
    public const int MaximumFixStr = 31;
}
