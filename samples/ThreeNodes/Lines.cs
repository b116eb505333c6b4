using System.Globalization;
using System.Text;

namespace ThreeNodes;

/// <summary>
/// What a node has done so far, and how it has been since its last report. Requests count earlier lives of the node too, the other sums
/// only this one; Share is its part of all slots, 0 to 1; Members are the live ones that it sees, itself included; nodes with equal
/// TableHash agree on who owns what.
/// </summary>
internal readonly record struct Progress(
    long Requests,
    long Gets,
    long Hits,
    long Sets,
    long FailedGets,
    long FailedSets,
    double Share,
    TimeSpan Median,
    TimeSpan Percentile99,
    TimeSpan Longest,
    int Members,
    ulong TableHash,
    long Evicted)
{
    public long Operations => Gets + Sets;
}

/// <summary>
/// What the director and a node say to each other over the node's standard input and output: lines of words. A line ends with a full
/// stop, so that one that a killed process did not finish is told from a whole one.
/// <code>
/// director: start | stop | check KEY...
/// node:     ready | progress NUMBER... | wrote (KEY WRITER START END)... | checked (KEY SHOWN WRITER START)... | stopped
/// </code>
/// </summary>
internal static class Lines
{
    public const string Start = "start";
    public const string Stop = "stop";
    public const string Check = "check";
    public const string Ready = "ready";
    public const string Progressed = "progress";
    public const string Wrote = "wrote";
    public const string Checked = "checked";
    public const string Stopped = "stopped";
    private const string End = ".";

    public static string Of(string verb) => $"{verb} {End}";

    /// <summary>The words of a line, the verb first; none if it was cut off.</summary>
    public static string[] Split(string line)
    {
        var words = line.Split(' ');
        return words[^1] == End ? words[..^1] : [];
    }

    public static string OfKeys(ReadOnlySpan<int> keys)
    {
        var line = new StringBuilder(Check);
        foreach (var key in keys)
        {
            line.Append(CultureInfo.InvariantCulture, $" {key}");
        }

        return line.Append(' ').Append(End).ToString();
    }

    public static int[] Keys(ReadOnlySpan<string> words)
    {
        var keys = new int[words.Length - 1];
        for (var i = 0; i < keys.Length; i++)
        {
            keys[i] = int.Parse(words[i + 1], CultureInfo.InvariantCulture);
        }

        return keys;
    }

    public static string OfProgress(in Progress progress) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Progressed} {progress.Requests} {progress.Gets} {progress.Hits} {progress.Sets} {progress.FailedGets} {progress.FailedSets} {progress.Share:R} {progress.Median.Ticks} {progress.Percentile99.Ticks} {progress.Longest.Ticks} {progress.Members} {progress.TableHash} {progress.Evicted} {End}");

    public static Progress Progress(string[] words) => new(
        Long(words[1]),
        Long(words[2]),
        Long(words[3]),
        Long(words[4]),
        Long(words[5]),
        Long(words[6]),
        double.Parse(words[7], CultureInfo.InvariantCulture),
        TimeSpan.FromTicks(Long(words[8])),
        TimeSpan.FromTicks(Long(words[9])),
        TimeSpan.FromTicks(Long(words[10])),
        (int)Long(words[11]),
        ulong.Parse(words[12], CultureInfo.InvariantCulture),
        Long(words[13]));

    public static string OfWrites(IEnumerable<Write> writes)
    {
        var line = new StringBuilder(Wrote);
        foreach (var write in writes)
        {
            line.Append(CultureInfo.InvariantCulture, $" {write.Key} {write.Stamp.Writer} {write.Stamp.Start} {write.End}");
        }

        return line.Append(' ').Append(End).ToString();
    }

    public static IEnumerable<Write> Writes(string[] words)
    {
        for (var i = 1; i + 3 < words.Length; i += 4)
        {
            yield return new Write((int)Long(words[i]), new Stamp((int)Long(words[i + 1]), Long(words[i + 2])), Long(words[i + 3]));
        }
    }

    public static string OfReadings(IEnumerable<Reading> readings)
    {
        var line = new StringBuilder(Checked);
        foreach (var reading in readings)
        {
            line.Append(CultureInfo.InvariantCulture, $" {reading.Key} {(int)reading.Shown} {reading.Stamp.Writer} {reading.Stamp.Start}");
        }

        return line.Append(' ').Append(End).ToString();
    }

    public static IEnumerable<Reading> Readings(string[] words)
    {
        for (var i = 1; i + 3 < words.Length; i += 4)
        {
            yield return new Reading((int)Long(words[i]), (Shown)Long(words[i + 1]), new Stamp((int)Long(words[i + 2]), Long(words[i + 3])));
        }
    }

    private static long Long(string word) => long.Parse(word, CultureInfo.InvariantCulture);
}
