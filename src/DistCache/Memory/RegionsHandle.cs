using System.Runtime.InteropServices;

namespace DistCache.Memory;

/// <summary>
/// Owns the address space of a tier, region by region, and gives all of it back at once: when the tier is disposed and the last one who
/// pins it is done, or when nobody refers to it any more. So a tier that nobody disposes leaks nothing.
/// </summary>
internal sealed class RegionsHandle : SafeHandle
{
    private readonly List<(nint Address, nuint Bytes)> _regions = [];

    public RegionsHandle()
        : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => _regions.Count == 0;

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

    protected override bool ReleaseHandle()
    {
        var released = true;
        foreach (var (address, bytes) in _regions)
        {
            released &= SystemMemory.Release(address, bytes);
        }

        return released;
    }
}
