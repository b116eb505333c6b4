using DistCache.Diagnostics;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>Tells the log and the metrics what <see cref="Swim"/> decided.</summary>
internal sealed class MembershipLog(ILogger logger, NodeName self)
{
    private string? _lastFailure;

    public void Write(SwimEffects effects)
    {
        foreach (var change in effects.Changes)
        {
            Metrics.MemberChanged(change.To);
            Write(change);
        }

        foreach (var disbelief in effects.Disbeliefs)
        {
            Metrics.RecordRefused(disbelief.ToString());
            if (disbelief == Disbelief.TableFull)
            {
                Log.TooManyMembers(logger, SwimTiming.MaximumMembers);
            }
        }

        if (effects.NameLostTo is { } winner)
        {
            Log.NameLost(logger, self, winner);
        }
    }

    /// <summary>Once for the same failure in a row: a tick may meet it again each time.</summary>
    public void LoopFailed(Exception exception)
    {
        var failure = $"{exception.GetType()}: {exception.Message}";
        if (Interlocked.Exchange(ref _lastFailure, failure) != failure)
        {
            Log.MembershipFailed(logger, exception);
        }
    }

    private void Write(MemberChange change)
    {
        var from = change.From?.ToString() ?? "unknown";
        if (change.Member.Name == self)
        {
            Log.SelfChanged(logger, change.Member, change.To, change.Why);
        }
        else if (change.To is MemberState.Suspect or MemberState.Dead)
        {
            Log.MemberFailing(logger, change.Member, from, change.To, change.Why);
        }
        else
        {
            Log.MemberChanged(logger, change.Member, from, change.To, change.Why);
        }
    }
}
