using System.Net;

namespace DistCache.Wire;

/// <summary>
/// The connections to our port that have not proved who they are, oldest first. Where there are too many one of them goes, not the one that comes. If an address has more
/// than <see cref="WireLimits.StrangersOfAddress"/> it is the oldest of the address that has the most, so that who floods from a few harms only himself. Else it is
/// the oldest of all: a member proves itself within milliseconds, and a stranger stays for as long as it may.
/// </summary>
internal sealed class Strangers
{
    private readonly Lock _lock = new();
    private readonly LinkedList<Guest> _guests = new();
    private readonly Dictionary<IPAddress, int> _counts = [];
    private int _leaving;

    /// <summary>Connections that have to go, and are not closed yet.</summary>
    public int Leaving => Volatile.Read(ref _leaving);

    public void Add(Guest guest)
    {
        Guest? evicted = null;
        lock (_lock)
        {
            _guests.AddLast(guest.Place);
            _counts[guest.Address] = _counts.GetValueOrDefault(guest.Address) + 1;
            if (_guests.Count > WireLimits.Strangers)
            {
                evicted = NextToGoLocked();
                RemoveLocked(evicted);
                evicted.IsEvicted = true;
                _leaving++;
            }
        }

        evicted?.Evict();
    }

    /// <summary>The connection is closed.</summary>
    public void Forget(Guest guest)
    {
        lock (_lock)
        {
            if (guest.Place.List is not null)
            {
                RemoveLocked(guest);
            }
            else if (guest.IsEvicted)
            {
                _leaving--;
            }
        }
    }

    /// <summary>It is known now. False if it has to go for another one, or is closed already.</summary>
    public bool TryWelcome(Guest guest)
    {
        lock (_lock)
        {
            if (guest.IsEvicted || guest.Place.List is null)
            {
                return false;
            }

            RemoveLocked(guest);
            return true;
        }
    }

    private Guest NextToGoLocked()
    {
        var (greediest, count) = _counts.MaxBy(static address => address.Value);
        return count > WireLimits.StrangersOfAddress ? _guests.First(guest => guest.Address.Equals(greediest)) : _guests.First!.Value;
    }

    private void RemoveLocked(Guest guest)
    {
        _guests.Remove(guest.Place);
        if (--_counts[guest.Address] == 0)
        {
            _counts.Remove(guest.Address);
        }
    }
}
