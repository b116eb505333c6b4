using System.Diagnostics;

namespace DistCache.Benchmarks.Peers;

/// <summary>A node in a process of its own, until it is disposed.</summary>
internal sealed class OtherNode(Process process) : IDisposable
{
    public Cost Cost()
    {
        process.StandardInput.WriteLine();
        return Peers.Cost.Parse(process.StandardOutput.ReadLine()!);
    }

    public void Dispose()
    {
        process.Kill();
        process.Dispose();
    }
}
