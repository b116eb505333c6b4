using System.Text;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>Keeps the keys that it is shown, a few at a time.</summary>
internal sealed class Collector(int room) : IEntryVisitor
{
    public List<string> Keys { get; } = [];

    public int Room { get; set; } = room;

    public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
    {
        if (Room == 0)
        {
            return false;
        }

        Room--;
        Keys.Add(Encoding.UTF8.GetString(key));
        return true;
    }
}
