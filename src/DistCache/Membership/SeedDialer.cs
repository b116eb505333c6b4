using System.Collections.Concurrent;
using DistCache.Diagnostics;
using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>Remembers what became of each seed, so that the log tells once that it fails, whatever the reasons, and once that it answers again.</summary>
internal sealed class SeedDialer(ISeedSource seeds, ILogger logger)
{
    /// <summary>
    /// One dial in so many goes to an address that was this node itself: behind a balancer, or after the address was given to
    /// somebody else, it may be another one the next time.
    /// </summary>
    private const int RecheckOwnEvery = 3;

    private readonly ConcurrentDictionary<PeerAddress, bool> _failing = new();
    private readonly ConcurrentDictionary<PeerAddress, bool> _own = new();
    private int _dials;

    /// <summary>There may be other seeds than at the last dial.</summary>
    public bool HasChanged => seeds.HasChanged;

    /// <summary>The seeds that are not known to be this node itself, and now and then those too.</summary>
    public async ValueTask<SeedList> ResolveAsync(CancellationToken cancellationToken)
    {
        var list = await seeds.ResolveAsync(cancellationToken).ConfigureAwait(false);
        if (list.IsComplete)
        {
            Forget(_failing, list);
            Forget(_own, list);
        }

        var isRecheck = Interlocked.Increment(ref _dials) % RecheckOwnEvery == 0;
        return isRecheck ? list : list with { Addresses = [.. list.Addresses.Where(address => !_own.ContainsKey(address))] };
    }

    /// <summary>What a reply says of whoever is at this address: true for nobody of this cluster, or this node itself.</summary>
    public bool IsNobodyThere(PeerAddress address, PeerReply reply)
    {
        if (reply is not PeerFault fault)
        {
            if (_failing.TryRemove(address, out _))
            {
                Log.SeedAnswers(logger, address);
            }

            _own.TryRemove(address, out _);
            return false;
        }

        if (fault.Kind == FaultKind.Self)
        {
            _own.TryAdd(address, true);
            return true;
        }

        if (_failing.TryAdd(address, true))
        {
            LogFault(address, fault);
        }

        return fault.Kind is FaultKind.NotListening or FaultKind.Refused;
    }

    /// <summary>Those that are seeds no more: pods come and go for years.</summary>
    private static void Forget(ConcurrentDictionary<PeerAddress, bool> remembered, SeedList list)
    {
        foreach (var address in remembered.Keys.Except(list.Addresses))
        {
            remembered.TryRemove(address, out _);
        }
    }

    private void LogFault(PeerAddress address, PeerFault fault)
    {
        if (fault.Kind is FaultKind.Refused or FaultKind.Unsupported)
        {
            Log.SeedRefusesUs(logger, address, fault.Reason);
        }
        else
        {
            Log.SeedDoesNotAnswer(logger, address, fault.Kind, fault.Reason);
        }
    }
}
