using DistCache.Entries;
using DistCache.Memory;
using DistCache.Peers;

namespace DistCache.Replication;

/// <summary>Collects keys and versions out of the memory tier, those that <paramref name="isWanted"/>, until it is full or has looked at many.</summary>
internal sealed class VersionBatch(Func<Slot, EntryVersion, bool> isWanted) : IEntryVisitor
{
    /// <summary>So many keys of ordinary length fit into a message by far.</summary>
    private const int MaximumEntries = 1_000;

    private const int MaximumBytes = 256 << 10;

    /// <summary>Others are looked at for a millisecond or so, then it is the caller's turn.</summary>
    private const int MaximumSkipped = 10_000;

    private readonly List<HeldVersion> _entries = [];
    private int _bytes;
    private int _skipped;

    public IReadOnlyList<HeldVersion> Entries => _entries;

    public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
    {
        if (!isWanted(Slot.Of(key), info.Version))
        {
            return ++_skipped < MaximumSkipped;
        }

        if (_entries.Count == MaximumEntries || _bytes + key.Length > MaximumBytes)
        {
            return false;
        }

        _bytes += key.Length;
        _entries.Add(new HeldVersion(key.ToArray(), info.Version));
        return true;
    }
}
