namespace DistCache.Wire;

/// <summary>
/// The connections to our port that have not proved who they are, oldest first. Where there are too many the oldest goes, not the one that
/// comes: a member proves itself within milliseconds, and a stranger stays for as long as it may.
/// </summary>
internal sealed class Strangers
{
    private readonly Lock _lock = new();
    private readonly LinkedList<Guest> _guests = new();

    public void Add(LinkedListNode<Guest> guest)
    {
        Guest? oldest = null;
        lock (_lock)
        {
            _guests.AddLast(guest);
            if (_guests.Count > WireLimits.Strangers)
            {
                oldest = _guests.First!.Value;
                _guests.RemoveFirst();
            }
        }

        oldest?.Abort($"More than {WireLimits.Strangers} connections without a handshake: the oldest goes.");
    }

    /// <summary>It is known now, or gone. False if it is no stranger any more: it was removed before, or has to go for another one.</summary>
    public bool Remove(LinkedListNode<Guest> guest)
    {
        lock (_lock)
        {
            if (guest.List is null)
            {
                return false;
            }

            _guests.Remove(guest);
            return true;
        }
    }
}
