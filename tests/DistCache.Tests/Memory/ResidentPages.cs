using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>What the operating system has given to a tier's own regions: other tests' memory does not count.</summary>
internal static unsafe partial class ResidentPages
{
    /// <summary>Linux tells it page by page.</summary>
    public static long BytesOf(TierMemory tier)
    {
        var memory = tier.Pool.Memory;
        var geometry = memory.Geometry;
        var states = new byte[geometry.RegionBytes / (nuint)Environment.SystemPageSize];
        var resident = 0L;
        for (var region = 0; region < memory.RegionCount; region++)
        {
            // A region begins with two bytes a page; then comes what is known of its first page.
            var info = (nint)Unsafe.AsPointer(ref memory.Info(region << geometry.RegionShift));
            Assert.That(InCore(info - (sizeof(ushort) << geometry.RegionShift), geometry.RegionBytes, states), Is.Zero);
            resident += states.Count(state => (state & 1) != 0) * (long)Environment.SystemPageSize;
        }

        return resident;
    }

    [LibraryImport("libc", EntryPoint = "mincore", SetLastError = true)]
    private static partial int InCore(nint address, nuint bytes, byte[] states);
}
