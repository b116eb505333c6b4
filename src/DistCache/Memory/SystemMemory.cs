using System.ComponentModel;
using System.Runtime.InteropServices;

namespace DistCache.Memory;

/// <summary>
/// Memory straight from the operating system. Reserved memory costs address space only. Everything that fails because the system has
/// no more is a result; everything that cannot fail but does is an exception.
/// </summary>
/// <remarks>
/// Linux commits by touching, once addresses are opened: pages come at the first write and go with MADV_DONTNEED. Addresses that are not
/// open count nowhere, also where the system does not let its processes ask for more than it has (overcommit_memory = 2). Blocks of 2 MiB may be asked for as huge
/// pages; the advice is taken back as soon as they are there, since the kernel would otherwise fill the holes that
/// <see cref="Decommit"/> makes and grow our resident set behind our back. macOS gives pages back by mapping fresh ones over them,
/// Windows by MEM_DECOMMIT.
/// </remarks>
internal static unsafe partial class SystemMemory
{
    /// <summary>The size, and alignment, of a huge page.</summary>
    public const int HugeBlockBytes = 2 << 20;

    private const int ProtectionNone = 0x0;
    private const int ProtectionReadWrite = 0x3;
    private const int MapPrivate = 0x02;
    private const int MapFixed = 0x10;
    private const int AdviseDontNeed = 4;
    private const int AdviseHugePage = 14;
    private const int AdviseNoHugePage = 15;
    private const uint MemCommit = 0x1000;
    private const uint MemReserve = 0x2000;
    private const uint MemDecommit = 0x4000;
    private const uint MemRelease = 0x8000;
    private const uint PageReadWrite = 0x04;

    /// <summary>The granule in which memory is committed.</summary>
    public static int GranuleBytes => Environment.SystemPageSize;

    /// <summary>Where pages are larger than 4 KiB, huge ones are larger than <see cref="HugeBlockBytes"/>, up to 512 MiB.</summary>
    public static bool HasHugeBlocks => OperatingSystem.IsLinux() && GranuleBytes == 4 << 10;

    /// <summary>
    /// Whether memory that was given back, or is just being, can be looked at, as zeros. On Windows that is a fault; on macOS nobody has seen
    /// yet that mapping over a range leaves no gap for a moment.
    /// </summary>
    public static bool CanReadReleased { get; } = OperatingSystem.IsLinux();

    private static int MapAnonymous => OperatingSystem.IsLinux() ? 0x20 : 0x1000;

    private static int MapNoReserve => OperatingSystem.IsLinux() ? 0x4000 : 0x40;

    /// <summary>Address space of <paramref name="bytes"/>, of which nothing is committed; 0 if there is none.</summary>
    public static nint Reserve(nuint bytes)
    {
        if (OperatingSystem.IsWindows())
        {
            return VirtualAlloc(0, bytes, MemReserve, PageReadWrite);
        }

        var address = Map(0, bytes, ProtectionNone, MapPrivate | MapAnonymous | MapNoReserve, -1, 0);
        if (address == -1)
        {
            return 0;
        }

        if (OperatingSystem.IsLinux())
        {
            // Fails where the kernel knows no huge pages, and then there is nothing to advise against.
            _ = Advise(address, bytes, AdviseNoHugePage);
        }

        return address;
    }

    /// <summary>Lets reserved addresses be used: read, as zeros, from now on, and committed; false if the system has no more.</summary>
    public static bool TryOpen(nint address, nuint bytes) => OperatingSystem.IsWindows() || Protect(address, bytes, ProtectionReadWrite) == 0;

    /// <summary>Makes opened memory usable; false if the system has no more.</summary>
    public static bool TryCommit(nint address, nuint bytes) =>
        !OperatingSystem.IsWindows() || VirtualAlloc(address, bytes, MemCommit, PageReadWrite) != 0;

    /// <summary>Commits blocks of <see cref="HugeBlockBytes"/>, as huge pages if the system has them to spare.</summary>
    public static void CommitHugeBlocks(nint address, nuint bytes)
    {
        if (Advise(address, bytes, AdviseHugePage) != 0)
        {
            return;
        }

        for (nuint offset = 0; offset < bytes; offset += HugeBlockBytes)
        {
            ((byte*)address)[offset] = 0;
        }

        _ = Advise(address, bytes, AdviseNoHugePage);
    }

    /// <summary>Gives the memory back, and keeps the addresses.</summary>
    public static void Decommit(nint address, nuint bytes)
    {
        var done = OperatingSystem.IsWindows()
            ? VirtualFree(address, bytes, MemDecommit) != 0
            : OperatingSystem.IsLinux()
                ? Advise(address, bytes, AdviseDontNeed) == 0
                : Map(address, bytes, ProtectionReadWrite, MapPrivate | MapAnonymous | MapNoReserve | MapFixed, -1, 0) == address;
        if (!done)
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError(), $"Giving back {bytes} bytes of memory failed.");
        }
    }

    public static bool Release(nint address, nuint bytes) =>
        OperatingSystem.IsWindows() ? VirtualFree(address, 0, MemRelease) != 0 : Unmap(address, bytes) == 0;

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    private static partial int Advise(nint address, nuint length, int advice);

    [LibraryImport("kernel32", SetLastError = true)]
    private static partial nint VirtualAlloc(nint address, nuint size, uint type, uint protection);

    [LibraryImport("kernel32", SetLastError = true)]
    private static partial int VirtualFree(nint address, nuint size, uint type);
}
