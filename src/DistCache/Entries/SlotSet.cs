using System.Buffers.Binary;
using System.Numerics;

namespace DistCache.Entries;

/// <summary>A set of slots as a bitmap of 2 KiB. Bit i of byte i / 8, counted from the lowest, is slot i; so it travels too.</summary>
internal sealed class SlotSet
{
    public const int ByteCount = Slot.Count / 8;

    private readonly ulong[] _words = new ulong[Slot.Count / 64];

    /// <summary>Reads the bitmap form; <paramref name="bitmap"/> has <see cref="ByteCount"/> bytes.</summary>
    public static SlotSet FromBitmap(ReadOnlySpan<byte> bitmap)
    {
        if (bitmap.Length != ByteCount)
        {
            throw new ArgumentException($"A slot bitmap has {ByteCount} bytes; got {bitmap.Length}.", nameof(bitmap));
        }

        var set = new SlotSet();
        for (var i = 0; i < set._words.Length; i++)
        {
            set._words[i] = BinaryPrimitives.ReadUInt64LittleEndian(bitmap[(i * sizeof(ulong))..]);
        }

        return set;
    }

    public static SlotSet All()
    {
        var set = new SlotSet();
        Array.Fill(set._words, ulong.MaxValue);
        return set;
    }

    public int Count
    {
        get
        {
            var count = 0;
            foreach (var word in _words)
            {
                count += BitOperations.PopCount(word);
            }

            return count;
        }
    }

    public bool IsEmpty => !_words.AsSpan().ContainsAnyExcept(0UL);

    public bool Contains(Slot slot) => (_words[slot.Number >> 6] >> (slot.Number & 63) & 1) != 0;

    /// <summary>Whether any slot from 64 × <paramref name="block"/> to 64 × <paramref name="block"/> + 63 is in the set.</summary>
    public bool ContainsAnyOfBlock(int block) => _words[block] != 0;

    public void Add(Slot slot) => _words[slot.Number >> 6] |= 1UL << (slot.Number & 63);

    public void Remove(Slot slot) => _words[slot.Number >> 6] &= ~(1UL << (slot.Number & 63));

    public void IntersectWith(SlotSet other)
    {
        for (var i = 0; i < _words.Length; i++)
        {
            _words[i] &= other._words[i];
        }
    }

    public void UnionWith(SlotSet other)
    {
        for (var i = 0; i < _words.Length; i++)
        {
            _words[i] |= other._words[i];
        }
    }

    public void ExceptWith(SlotSet other)
    {
        for (var i = 0; i < _words.Length; i++)
        {
            _words[i] &= ~other._words[i];
        }
    }

    public SlotSet Copy()
    {
        var copy = new SlotSet();
        _words.CopyTo(copy._words, 0);
        return copy;
    }

    /// <summary>Writes the bitmap form, <see cref="ByteCount"/> bytes.</summary>
    public void CopyBitmapTo(Span<byte> bitmap)
    {
        for (var i = 0; i < _words.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bitmap[(i * sizeof(ulong))..], _words[i]);
        }
    }

    public Enumerator GetEnumerator() => new(_words);

    public struct Enumerator(ulong[] words)
    {
        private int _index = -1;
        private ulong _word;

        public readonly Slot Current => new((_index << 6) + BitOperations.TrailingZeroCount(_word));

        public bool MoveNext()
        {
            _word &= _word - 1;
            while (_word == 0)
            {
                if (++_index == words.Length)
                {
                    return false;
                }

                _word = words[_index];
            }

            return true;
        }
    }
}
