using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>Logs that a source fails, or works again: once per change and not at every dial.</summary>
internal sealed class SeedSourceState(string source, ILogger logger)
{
    private string? _failure;

    public void Fails(string reason)
    {
        if (Interlocked.Exchange(ref _failure, reason) != reason)
        {
            Log.SeedSourceFails(logger, source, reason);
        }
    }

    public void Works(int count)
    {
        if (Interlocked.Exchange(ref _failure, null) is not null)
        {
            Log.SeedSourceWorks(logger, source, count);
        }
    }
}
