using System.Text.Json;

namespace DistCache.ClusterTests;

/// <summary>What a test asks of a node: a line of JSON on its standard input.</summary>
internal sealed record Command(long Id, string Verb, string[] Keys, string? Value = null)
{
    public const string Get = "get";
    public const string Set = "set";
    public const string Remove = "remove";
    public const string Members = "members";
    public const string Collect = "collect";
    public const string IsSafe = "is safe";

    /// <summary>Gets each key by a call that blocks a thread of the pool, all at once.</summary>
    public const string Block = "block";

    /// <summary>The pool gets as few threads as there can be, but all of them at once, and no more ever after.</summary>
    public const string FixPool = "fix pool";
}

/// <summary>A line of JSON on a node's standard output: a reply, or, with id 0, that it is ready, or was starved.</summary>
internal sealed record Reply(long Id)
{
    /// <summary>The values of the keys that were asked for; null where there is none.</summary>
    public string?[]? Values { get; init; }

    /// <summary>How long the cache took for what was asked, without the way of question and reply.</summary>
    public double Milliseconds { get; init; }

    /// <summary>Of several calls of the cache, the one that took longest, without what the machine took of that.</summary>
    public double? LongestMilliseconds { get; init; }

    public NodeView? View { get; init; }

    /// <summary>Whether this node may stop, even without a word.</summary>
    public bool? IsSafe { get; init; }

    /// <summary>The type and the message of the exception that the cache threw.</summary>
    public string? Error { get; init; }

    /// <summary>Where a web node serves.</summary>
    public string? Url { get; init; }

    /// <summary>From when to when this process had no threads or no processors; see <see cref="Beat"/>.</summary>
    public long[]? Starved { get; init; }

    /// <summary>Live bytes on the garbage-collected heap, after a full collection.</summary>
    public long? HeapBytes { get; init; }
}

/// <summary>The cluster as one node sees it.</summary>
internal sealed record NodeView(ulong TableHash, bool IsImporting, SeenMember[] Members)
{
    public IEnumerable<SeenMember> Alive => Members.Where(member => member.State == MemberState.Alive);

    public SeenMember? Find(string name) => Members.FirstOrDefault(member => member.Name == name);
}

internal sealed record SeenMember(string Name, long Incarnation, MemberState State, double Share);

internal static class Json
{
    private static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Web);

    public static string Write<T>(T value) => JsonSerializer.Serialize(value, Options);

    public static T Read<T>(string line) => JsonSerializer.Deserialize<T>(line, Options)!;
}
