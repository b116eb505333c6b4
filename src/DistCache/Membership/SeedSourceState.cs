using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>Logs that a source fails, or works again: once per change, neither at every dial nor at every other reason.</summary>
internal sealed class SeedSourceState(string source, ILogger logger)
{
    private bool _isFailing;

    public void Fails(string reason)
    {
        if (!Interlocked.Exchange(ref _isFailing, true))
        {
            Log.SeedSourceFails(logger, source, reason);
        }
    }

    public void Works(int count)
    {
        if (Interlocked.Exchange(ref _isFailing, false))
        {
            Log.SeedSourceWorks(logger, source, count);
        }
    }
}
