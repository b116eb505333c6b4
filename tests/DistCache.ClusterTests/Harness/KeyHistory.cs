using System.Globalization;

namespace DistCache.ClusterTests;

/// <summary>A set, or a removal where there is no value. A later write of the key has a higher number.</summary>
internal sealed record NumberedWrite(long Number, string? Value)
{
    public static readonly NumberedWrite None = new(0, null);
}

/// <summary>What a key may show. One caller writes it, one operation after the other; all read it.</summary>
internal sealed class KeyHistory(string key)
{
    private volatile NumberedWrite _acknowledged = NumberedWrite.None;
    private volatile NumberedWrite _begun = NumberedWrite.None;
    private long _lastRemoval;

    public string Key => key;

    /// <summary>The last write did not end well: it may have happened or not, or happen yet.</summary>
    public bool IsUnsure { get; private set; }

    /// <summary>What a read that begins now must show, or something later.</summary>
    public NumberedWrite Acknowledged => _acknowledged;

    public NumberedWrite Begin(long number, bool isRemove)
    {
        var write = new NumberedWrite(number, isRemove ? null : $"{key} write {number} {new string('.', 80)}");
        Volatile.Write(ref _lastRemoval, isRemove ? number : _lastRemoval);
        return _begun = write;
    }

    public void Acknowledge(NumberedWrite write) => _acknowledged = write;

    public void Doubt() => IsUnsure = true;

    /// <summary>What is wrong with this value, if <paramref name="before"/> was acknowledged when the read began; null if nothing is.</summary>
    public string? FindFault(NumberedWrite before, string? value)
    {
        var isRight = value is null ? before.Value is null || Volatile.Read(ref _lastRemoval) > before.Number : NumberOf(value) is { } number && number >= before.Number && number <= _begun.Number;
        return isRight
            ? null
            : $"{key}, acknowledged as {before.Value?.TrimEnd('.') ?? $"removed by {before.Number}"}{(IsUnsure ? ", then in doubt" : "")}, shows {value?.TrimEnd('.') ?? "nothing"}";
    }

    /// <summary>Null for what nobody wrote.</summary>
    private long? NumberOf(string value)
    {
        var words = value.Split(' ');
        return words is [_, "write", var number, _] && words[0] == key ? long.Parse(number, CultureInfo.InvariantCulture) : null;
    }
}
