using DistCache.Entries;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>Copies entries out of the memory tier until it is full; one entry always fits.</summary>
internal sealed class EntryBatch(int maximumBytes, long now) : IEntryVisitor
{
    private readonly List<EntryRecord> _entries = [];
    private long _bytes;

    public IReadOnlyList<EntryRecord> Entries => _entries;

    public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
    {
        if (_entries.Count > 0 && _bytes + key.Length + value.Length > maximumBytes)
        {
            return false;
        }

        _bytes += key.Length + value.Length;
        _entries.Add(new EntryRecord(key.ToArray(), info.Version, info.ToRemaining(now), info.Flags, value.ToArray()));
        return true;
    }
}
