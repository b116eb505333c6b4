using System.Runtime.InteropServices;

namespace DistCache.Memory;

/// <summary>
/// Owns the addresses of a tier. It ends twice. The memory goes back to the system when the tier is closed and the last one who pins it
/// is done. The addresses go when nobody refers to this any more, so that a reader who holds no lock, and comes too late, finds nothing
/// rather than somebody else's memory. A tier that nobody disposes gives both back then.
/// </summary>
internal sealed class AddressRange : SafeHandle
{
    private const int ClosedBit = int.MinValue;

    private readonly nuint _bytes;
    private int _pins;

    /// <exception cref="InsufficientMemoryException">The system has no such range.</exception>
    /// <param name="bytes">Its size.</param>
    /// <param name="alignment">A power of two.</param>
    public AddressRange(nuint bytes, nuint alignment)
        : base(0, ownsHandle: true)
    {
        var slack = alignment > (nuint)SystemMemory.GranuleBytes ? alignment : 0;
        _bytes = bytes + slack;
        SetHandle(SystemMemory.Reserve(_bytes));
        if (IsInvalid)
        {
            throw new InsufficientMemoryException($"The system has no range of {_bytes} bytes of addresses for the memory tier.");
        }

        Start = (nint)(((nuint)handle + slack) & ~(slack == 0 ? 0 : slack - 1));
    }

    /// <summary>The first address that is aligned as was asked for.</summary>
    public nint Start { get; }

    public override bool IsInvalid => handle == 0;

    /// <summary>True when the system has the memory back.</summary>
    public bool IsGivenBack { get; private set; }

    /// <summary>Until <see cref="Unpin"/> the memory stays; false if it is closed.</summary>
    public bool TryPin()
    {
        if (Interlocked.Increment(ref _pins) > 0)
        {
            return true;
        }

        Unpin();
        return false;
    }

    public void Unpin()
    {
        if (Interlocked.Decrement(ref _pins) == ClosedBit)
        {
            GiveBack();
        }
    }

    /// <summary>Nobody can pin it any more.</summary>
    public void CloseMemory()
    {
        if (Interlocked.Or(ref _pins, ClosedBit) == 0)
        {
            GiveBack();
        }
    }

    protected override bool ReleaseHandle() => SystemMemory.Release(handle, _bytes);

    private void GiveBack()
    {
        SystemMemory.Decommit(handle, _bytes);
        IsGivenBack = true;
    }
}
