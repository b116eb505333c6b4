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
        var first = (nint)Unsafe.AsPointer(ref memory.Info(0));
        var bytes = (nuint)memory.PageCount << geometry.PageShift;
        var states = new byte[bytes / (nuint)Environment.SystemPageSize];
        Assert.That(InCore(first, bytes, states), Is.Zero);
        return states.Count(state => (state & 1) != 0) * (long)Environment.SystemPageSize;
    }

    [LibraryImport("libc", EntryPoint = "mincore", SetLastError = true)]
    private static partial int InCore(nint address, nuint bytes, byte[] states);
}
