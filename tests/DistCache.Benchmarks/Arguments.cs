using System.Globalization;

namespace DistCache.Benchmarks;

/// <summary>What follows the command, as name=value.</summary>
internal sealed class Arguments(string[] given)
{
    private readonly Dictionary<string, string> _values = given
        .Select(argument => argument.Split('=', 2))
        .ToDictionary(parts => parts[0], parts => parts.Length > 1 ? parts[1] : "");

    /// <summary>As they were given, for another process.</summary>
    public string[] Words => given;

    public int Number(string name, int otherwise) =>
        _values.TryGetValue(name, out var text) ? int.Parse(text, NumberStyles.AllowThousands, CultureInfo.InvariantCulture) : otherwise;

    public string Text(string name, string otherwise) => _values.GetValueOrDefault(name, otherwise);
}
