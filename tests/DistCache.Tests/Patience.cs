namespace DistCache.Tests;

/// <summary>
/// How long a test waits for what certainly comes, where the time is not what is tested: on a busy machine seconds are nothing, and a wait that
/// ends early costs nothing.
/// </summary>
internal static class Patience
{
    public const int Milliseconds = 60_000;

    public static readonly TimeSpan Time = TimeSpan.FromMilliseconds(Milliseconds);
}
