namespace DistCache.Memory;

/// <summary>A value where it is stored, in one piece or in many. Lives as long as the call that shows it.</summary>
internal readonly ref struct StoredValue
{
    private readonly ReadOnlySpan<byte> _whole;
    private readonly PageMemory? _memory;
    private readonly int _head;
    private readonly int _offset;

    public StoredValue(ReadOnlySpan<byte> whole)
    {
        _whole = whole;
        Length = whole.Length;
    }

    public StoredValue(PageMemory memory, int head, int offset, int length)
    {
        _memory = memory;
        _head = head;
        _offset = offset;
        Length = length;
    }

    public int Length { get; }

    /// <summary>Copies all of it.</summary>
    /// <param name="destination">At least <see cref="Length"/> long.</param>
    public void CopyTo(Span<byte> destination)
    {
        if (_memory is null)
        {
            _whole.CopyTo(destination);
            return;
        }

        LargeEntries.CopyTo(_memory, _head, _offset, destination[..Length]);
    }

    public byte[] ToArray()
    {
        var array = GC.AllocateUninitializedArray<byte>(Length);
        CopyTo(array);
        return array;
    }
}
