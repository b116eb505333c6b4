using System.Runtime.InteropServices;

namespace DistCache.Memory;

/// <summary>
/// Owns the address space of a tier, region by region. It ends twice. The memory goes back to the system when the tier is closed and the
/// last one who pins it is done. The addresses go when nobody refers to this any more, so that a reader who holds no lock, and comes too
/// late, finds nothing rather than somebody else's memory. A tier that nobody disposes gives both back then.
/// </summary>
internal sealed class RegionsHandle : SafeHandle
{
    private const int ClosedBit = int.MinValue;

    private readonly List<(nint Address, nuint Bytes)> _regions = [];
    private int _pins;

    public RegionsHandle()
        : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => _regions.Count == 0;

    /// <summary>True when the system has the memory back.</summary>
    public bool IsGivenBack { get; private set; }

    /// <summary>Reserves a region; 0 if the system has no address space. The caller's lock orders the calls.</summary>
    /// <param name="bytes">Its size.</param>
    /// <param name="alignment">A power of two.</param>
    public nint Reserve(nuint bytes, nuint alignment)
    {
        var slack = alignment > (nuint)SystemMemory.GranuleBytes ? alignment : 0;
        var address = SystemMemory.Reserve(bytes + slack);
        if (address == 0)
        {
            return 0;
        }

        _regions.Add((address, bytes + slack));
        return (nint)(((nuint)address + slack) & ~(slack == 0 ? 0 : slack - 1));
    }

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

    protected override bool ReleaseHandle()
    {
        var released = true;
        foreach (var (address, bytes) in _regions)
        {
            released &= SystemMemory.Release(address, bytes);
        }

        return released;
    }

    private void GiveBack()
    {
        foreach (var (address, bytes) in _regions)
        {
            SystemMemory.Decommit(address, bytes);
        }

        IsGivenBack = true;
    }
}
