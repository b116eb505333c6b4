using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>A part of the tier with its own lock, budget and recency list.</summary>
internal sealed class Shard(long sizeLimit, int[] slotCounts)
{
    /// <summary>What an entry costs besides key and value: node, dictionary slot, two arrays.</summary>
    private const int OverheadBytes = 200;

    private readonly Lock _lock = new();
    private readonly Dictionary<byte[], LinkedListNode<Entry>> _entries = new(KeyComparer.Instance);
    private readonly LinkedList<Entry> _byRecency = new();
    private MemoryStatistics _statistics;

    public MemoryStatistics AddTo(MemoryStatistics sum)
    {
        lock (_lock)
        {
            return new MemoryStatistics(
                sum.Entries + _entries.Count,
                sum.Tombstones + _statistics.Tombstones,
                sum.Bytes + _statistics.Bytes,
                sum.Hits + _statistics.Hits,
                sum.Misses + _statistics.Misses,
                sum.EvictedForSize + _statistics.EvictedForSize,
                sum.Expired + _statistics.Expired);
        }
    }

    public LookupOutcome Read(ReadOnlySpan<byte> key, Span<byte> destination, bool renew, long now, out EntryInfo info, out int valueLength)
    {
        lock (_lock)
        {
            if (!TryFindLocked(key, now, out var node))
            {
                _statistics = _statistics with { Misses = _statistics.Misses + 1 };
                info = default;
                valueLength = 0;
                return LookupOutcome.Miss;
            }

            var entry = node.Value;
            info = entry.Info;
            if (renew && !entry.Info.IsTombstone)
            {
                entry.Info = entry.Info with { LastAccess = Math.Max(now, entry.Info.LastAccess) };
                _byRecency.Remove(node);
                _byRecency.AddFirst(node);
            }

            valueLength = entry.Value.Length;
            if (entry.Info.IsTombstone)
            {
                _statistics = _statistics with { Misses = _statistics.Misses + 1 };
                return LookupOutcome.Tombstone;
            }

            if (!entry.Value.AsSpan().TryCopyTo(destination))
            {
                return LookupOutcome.TooSmall;
            }

            _statistics = _statistics with { Hits = _statistics.Hits + 1 };
            return LookupOutcome.Hit;
        }
    }

    public ApplyOutcome Apply(ReadOnlySpan<byte> key, in EntryInfo info, in ReadOnlySequence<byte> value, long now, out EntryVersion held)
    {
        lock (_lock)
        {
            var found = TryFindLocked(key, now, out var node);
            if (found && node!.Value.Info.Version >= info.Version)
            {
                held = node.Value.Info.Version;
                return held == info.Version ? ApplyOutcome.Applied : ApplyOutcome.Older;
            }

            if (key.Length + value.Length + OverheadBytes > sizeLimit)
            {
                held = found ? node!.Value.Info.Version : default;
                return ApplyOutcome.TooLarge;
            }

            if (found)
            {
                DropLocked(node!);
            }

            AddLocked(new Entry(key.ToArray(), info, value.ToArray()));
            while (_statistics.Bytes > sizeLimit)
            {
                DropLocked(_byRecency.Last!);
                _statistics = _statistics with { EvictedForSize = _statistics.EvictedForSize + 1 };
            }

            held = info.Version;
            return ApplyOutcome.Applied;
        }
    }

    public bool Renew(ReadOnlySpan<byte> key, EntryVersion version, long lastAccess, long now)
    {
        lock (_lock)
        {
            if (!TryFindLocked(key, now, out var node) || node.Value.Info.Version != version)
            {
                return false;
            }

            var info = node.Value.Info;
            node.Value.Info = info with { LastAccess = Math.Max(lastAccess, info.LastAccess) };
            return true;
        }
    }

    public bool Forget(ReadOnlySpan<byte> key, EntryVersion version)
    {
        lock (_lock)
        {
            if (!Lookup.TryGetValue(key, out var node) || node.Value.Info.Version != version)
            {
                return false;
            }

            DropLocked(node);
            return true;
        }
    }

    /// <summary>Shows the entries from hash <paramref name="fromHash"/> on, in the order of their hashes: they stay there whatever comes and goes.</summary>
    public bool Visit(SlotSet slots, ref uint fromHash, IEntryVisitor visitor, long now)
    {
        lock (_lock)
        {
            var from = fromHash;
            var rest = _byRecency.Where(entry => slots.Contains(entry.Slot) && entry.Hash >= from).OrderBy(entry => entry.Hash);
            foreach (var entry in rest)
            {
                if (entry.Info.DueAt > now && !visitor.Visit(entry.Key, entry.Info, entry.Value))
                {
                    fromHash = entry.Hash;
                    return false;
                }
            }

            return true;
        }
    }

    public void Sweep(long now)
    {
        lock (_lock)
        {
            var node = _byRecency.First;
            while (node is not null)
            {
                var next = node.Next;
                ExpireIfDueLocked(node, now);
                node = next;
            }
        }
    }

    public void Clear()
    {
        lock (_lock)
        {
            while (_byRecency.First is { } node)
            {
                DropLocked(node);
            }
        }
    }

    private Dictionary<byte[], LinkedListNode<Entry>>.AlternateLookup<ReadOnlySpan<byte>> Lookup =>
        _entries.GetAlternateLookup<ReadOnlySpan<byte>>();

    private bool TryFindLocked(ReadOnlySpan<byte> key, long now, [NotNullWhen(true)] out LinkedListNode<Entry>? node) =>
        Lookup.TryGetValue(key, out node) && !ExpireIfDueLocked(node, now);

    private bool ExpireIfDueLocked(LinkedListNode<Entry> node, long now)
    {
        if (node.Value.Info.DueAt > now)
        {
            return false;
        }

        DropLocked(node);
        _statistics = _statistics with { Expired = _statistics.Expired + 1 };
        return true;
    }

    private void AddLocked(Entry entry)
    {
        _entries.Add(entry.Key, _byRecency.AddFirst(entry));
        CountLocked(entry, 1);
    }

    private void DropLocked(LinkedListNode<Entry> node)
    {
        _entries.Remove(node.Value.Key);
        _byRecency.Remove(node);
        CountLocked(node.Value, -1);
    }

    private void CountLocked(Entry entry, int sign)
    {
        Interlocked.Add(ref slotCounts[entry.Slot.Number], sign);
        _statistics = _statistics with
        {
            Bytes = _statistics.Bytes + (sign * (long)(entry.Key.Length + entry.Value.Length + OverheadBytes)),
            Tombstones = _statistics.Tombstones + (entry.Info.IsTombstone ? sign : 0),
        };
    }

    private sealed class Entry(byte[] key, EntryInfo info, byte[] value)
    {
        public byte[] Key { get; } = key;

        public Slot Slot { get; } = Slot.Of(key);

        public uint Hash { get; } = (uint)KeyComparer.Instance.GetHashCode(key);

        public byte[] Value { get; } = value;

        public EntryInfo Info { get; set; } = info;
    }

    private sealed class KeyComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public static readonly KeyComparer Instance = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(byte[] key) => GetHashCode(key.AsSpan());

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            var hash = new HashCode();
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
