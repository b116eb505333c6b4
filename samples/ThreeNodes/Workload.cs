using System.Globalization;
using System.IO.Compression;

namespace ThreeNodes;

/// <summary>One step of the workload: read a key (and fill it on a miss), or write it.</summary>
internal readonly record struct Request(int Key, bool IsSet);

/// <summary>
/// Which keys are asked for, in which order. Every process makes its own from the same arguments and comes to the same keys under the
/// same numbers, so the nodes and the director can speak of keys by number.
/// </summary>
internal abstract class Workload
{
    public const int MinimumValueBytes = 100;
    public const int MaximumValueBytes = 1_000;

    public abstract string Description { get; }

    public abstract int KeyCount { get; }

    /// <summary>How many requests it is made of; null if it goes on for as long as it is asked.</summary>
    public abstract long? Length { get; }

    public abstract string KeyOf(int key);

    /// <summary>The request of that number. The director deals the numbers to the nodes in turn.</summary>
    public abstract Request RequestAt(long number, Random random);

    public static Workload Create(Arguments arguments) =>
        arguments.Trace is null ? new ZipfWorkload(arguments.Keys) : TraceWorkload.Read(arguments.Trace);
}

/// <summary>
/// A few keys are asked for very often, most hardly ever, as in the real world: the n-th most popular of the keys gets 1/n^0.99 of the
/// requests. The generator is the one of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994).
/// </summary>
internal sealed class ZipfWorkload : Workload
{
    private const double Theta = 0.99;
    private const double SetRatio = 0.10;

    private readonly double _zeta;
    private readonly double _eta;

    public ZipfWorkload(int keys)
    {
        KeyCount = keys;
        for (var rank = 1; rank <= keys; rank++)
        {
            _zeta += Math.Pow(rank, -Theta);
        }

        _eta = (1 - Math.Pow(2.0 / keys, 1 - Theta)) / (1 - ((1 + Math.Pow(2, -Theta)) / _zeta));
    }

    public override string Description =>
        string.Create(CultureInfo.InvariantCulture, $"Zipf(0.99) over {KeyCount:N0} keys: 90 % get (and set on a miss), 10 % set");

    public override int KeyCount { get; }

    public override long? Length => null;

    public override string KeyOf(int key) => string.Create(CultureInfo.InvariantCulture, $"item:{key}");

    public override Request RequestAt(long number, Random random) => new(NextRank(random.NextDouble()), random.NextDouble() < SetRatio);

    private int NextRank(double uniform)
    {
        var scaled = uniform * _zeta;
        if (scaled < 1)
        {
            return 0;
        }

        if (scaled < 1 + Math.Pow(2, -Theta))
        {
            return 1;
        }

        return Math.Min(KeyCount - 1, (int)(KeyCount * Math.Pow((_eta * uniform) - _eta + 1, 1 / (1 - Theta))));
    }
}

/// <summary>The keys of a recorded trace in their order, again from the start when it is through.</summary>
internal sealed class TraceWorkload(string name, int[] requests, string[] keys) : Workload
{
    public override string Description =>
        string.Create(CultureInfo.InvariantCulture, $"{name}: {requests.Length:N0} requests for {keys.Length:N0} keys: get, and set on a miss");

    public override int KeyCount => keys.Length;

    public override long? Length => requests.Length;

    public override string KeyOf(int key) => keys[key];

    public override Request RequestAt(long number, Random random) => new(requests[number % requests.Length], IsSet: false);

    public static TraceWorkload Read(string path)
    {
        List<int> requests = [];
        Dictionary<string, int> numbers = [];
        try
        {
            using var reader = new StreamReader(new GZipStream(File.OpenRead(path), CompressionMode.Decompress));
            while (reader.ReadLine() is { } line)
            {
                if (line.Length == 0)
                {
                    continue;
                }

                if (!numbers.TryGetValue(line, out var number))
                {
                    numbers.Add(line, number = numbers.Count);
                }

                requests.Add(number);
            }
        }
        catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            throw new UsageException($"--trace is \"{path}\"; it cannot be read as a gzip file: {e.Message}");
        }

        return requests.Count > 0
            ? new TraceWorkload(Path.GetFileName(path), [.. requests], [.. numbers.OrderBy(pair => pair.Value).Select(pair => pair.Key)])
            : throw new UsageException($"--trace is \"{path}\"; it has no line with a key.");
    }
}
