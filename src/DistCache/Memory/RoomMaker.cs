namespace DistCache.Memory;

/// <summary>
/// Has room made when the budget is used up: the shard that holds most gives, then the others. Holds no lock while it asks. Where
/// nothing can be given, all of it is in the hands of large values that are just being written or read: those end soon.
/// </summary>
internal struct RoomMaker(TierMemory memory)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private SpinWait _spin;
    private long _startedWaiting;

    public void Make()
    {
        if (!TryMake())
        {
            Wait();
        }
    }

    /// <summary>For those who hold the room, and cannot give it yet.</summary>
    /// <exception cref="InsufficientMemoryException">This operation began to wait ten seconds ago.</exception>
    public void Wait()
    {
        _startedWaiting = _startedWaiting == 0 ? Environment.TickCount64 : _startedWaiting;
        if (Environment.TickCount64 - _startedWaiting > Patience.TotalMilliseconds)
        {
            throw new InsufficientMemoryException(
                $"The memory tier found no room within {Patience.TotalSeconds} s: {memory.Pool.ChargedBytes} of {memory.SizeLimit} bytes are in use.");
        }

        _spin.SpinOnce();
    }

    /// <summary>Has a page given for the tables of a shard that want one. They can do without, so nobody waits for it.</summary>
    public readonly void MakeForTablesOf(Shard shard)
    {
        if (!shard.WantsPage)
        {
            return;
        }

        // It wanted one as of late: there may be an idle one by now, and nobody has to go for it.
        shard.Grow();
        if (shard.WantsPage && TryMake())
        {
            shard.Grow();
        }
    }

    /// <summary>False if nobody has anything to give now.</summary>
    public readonly bool TryMake()
    {
        var richest = memory.Shards[0];
        foreach (var shard in memory.Shards)
        {
            richest = shard.HeldBytes > richest.HeldBytes ? shard : richest;
        }

        if (richest.TryGivePage())
        {
            return true;
        }

        foreach (var shard in memory.Shards)
        {
            if (shard.TryGivePage())
            {
                return true;
            }
        }

        return false;
    }
}
