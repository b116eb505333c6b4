using System.Runtime.InteropServices;

namespace DistCache.Memory;

/// <summary>
/// A shard's lock, and a number that tells those who look without it whether anything was changed meanwhile (a sequence lock; Lameter,
/// "Effective Synchronization on Linux/NUMA Systems", 2005): it is odd while somebody changes index, entries or pages, and another one
/// afterwards. So a look that began and ended under the same even number saw one state. The order of use is no part of that state.
/// </summary>
internal sealed class ShardLock
{
    private readonly Lock _lock = new();
    private OwnLine _sequence;
    private bool _isClosed;

    /// <summary>For looking, and for the order of use.</summary>
    public Scope Hold()
    {
        _lock.Enter();
        return new Scope(this, isChange: false);
    }

    /// <summary>As <see cref="Hold"/>, but false where that means waiting.</summary>
    public bool TryHold(out Scope scope)
    {
        scope = default;
        if (!_lock.TryEnter())
        {
            return false;
        }

        scope = new Scope(this, isChange: false);
        return true;
    }

    /// <summary>For whatever a look without the lock could see.</summary>
    /// <exception cref="ObjectDisposedException">The shard is closed.</exception>
    public Scope Change()
    {
        _lock.Enter();
        if (_isClosed)
        {
            _lock.Exit();
            ThrowIfClosedLocked();
        }

        _sequence.Number++;
        Volatile.WriteBarrier();
        return new Scope(this, isChange: true);
    }

    /// <summary>Begins a look; false while somebody changes something, and for ever after <see cref="Close"/>.</summary>
    public bool TryLook(out uint sequence)
    {
        sequence = Volatile.Read(ref _sequence.Number);
        return (sequence & 1) == 0;
    }

    /// <summary>Ends a look: what was seen counts only if this is true.</summary>
    public bool IsUnchanged(uint since)
    {
        Volatile.ReadBarrier();
        return _sequence.Number == since;
    }

    /// <summary>From now on every change throws, no look succeeds, and none of the changes is under way.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _isClosed = true;
            _sequence.Number |= 1;
        }
    }

    public bool IsClosedLocked => _isClosed;

    public void ThrowIfClosedLocked() => ObjectDisposedException.ThrowIf(_isClosed, typeof(MemoryTier));

    /// <summary>
    /// All readers look at the number all the time: it stands on a cache line of its own, else whoever takes the lock, or writes to some
    /// neighbour on the heap, would take it away from them.
    /// </summary>
    [StructLayout(LayoutKind.Explicit, Size = 3 * CacheLineBytes)]
    private struct OwnLine
    {
        private const int CacheLineBytes = 64;

        [FieldOffset(CacheLineBytes)]
        public uint Number;
    }

    /// <summary>The lock is held until this is disposed.</summary>
    public readonly ref struct Scope(ShardLock owner, bool isChange)
    {
        public void Dispose()
        {
            if (isChange)
            {
                Volatile.Write(ref owner._sequence.Number, owner._sequence.Number + 1);
            }

            owner._lock.Exit();
        }
    }
}
