namespace DistCache.Memory;

/// <summary>
/// Keeps the pages of a shard's large entries while they are copied without its lock: whatever becomes of the entry, or of the tier, they
/// stay until the last one who copies is done.
/// </summary>
internal sealed class Pins(ShardLock shardLock, PagePool pool)
{
    private readonly PageMemory _memory = pool.Memory;

    public void PinLocked(uint handle)
    {
        ObjectDisposedException.ThrowIf(!_memory.Handle.TryPin(), typeof(MemoryTier));
        _memory.Info(_memory.PageOf(handle)).Previous++;
    }

    public void Unpin(uint handle)
    {
        var head = _memory.PageOf(handle);
        using (shardLock.Hold())
        {
            ref var info = ref _memory.Info(head);
            info.Previous--;
            if (info.Previous == 0 && info.IsLeaving)
            {
                LargeEntries.Free(pool, head);
            }
        }

        _memory.Handle.Unpin();
    }
}
