using System.Globalization;

namespace ThreeNodes;

/// <summary>What the user asked for.</summary>
internal sealed record Arguments
{
    public const string Help = """
        Starts three cache nodes as processes on this machine, puts them under load, kills one half-way, brings it back, and checks at the
        end that no acknowledged write was lost.

          dotnet run -c Release --project samples/ThreeNodes -- [options]

          --seconds N     length of the load, 8 to 3600; 20 unless given (a trace ends when it is through)
          --keys N        different keys of the Zipf(0.99) mix, 100 to 1000000; 50000 unless given
          --trace FILE    replay this gzip file of one key a line instead: get, and on a miss set
          --replicas N    copies beside the primary's, 0 to 2; 1 unless given. With 0, see what a crash costs without copies
          --help          this text

        Exit code: 0 nothing was lost; 1 something was, or the cluster did not come together; 2 the arguments are wrong.

        """;

    public int Seconds { get; init; } = 20;

    public int Keys { get; init; } = 50_000;

    public string? Trace { get; init; }

    public int Replicas { get; init; } = 1;

    public bool IsHelp { get; init; }

    public static Arguments Parse(ReadOnlySpan<string> args)
    {
        var result = new Arguments();
        for (var i = 0; i < args.Length; i++)
        {
            var option = args[i];
            if (option is "--help" or "-h")
            {
                return result with { IsHelp = true };
            }

            if (option is not ("--seconds" or "--keys" or "--trace" or "--replicas"))
            {
                throw new UsageException($"\"{option}\" is not an option.");
            }

            if (++i == args.Length)
            {
                throw new UsageException($"{option} needs a value after it.");
            }

            result = option switch
            {
                "--seconds" => result with { Seconds = Number(option, args[i], 8, 3_600) },
                "--keys" => result with { Keys = Number(option, args[i], 100, 1_000_000) },
                "--replicas" => result with { Replicas = Number(option, args[i], 0, 2) },
                _ => result with { Trace = ExistingFile(option, args[i]) },
            };
        }

        return result;
    }

    private static int Number(string option, string text, int minimum, int maximum) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= minimum && number <= maximum
            ? number
            : throw new UsageException($"{option} is \"{text}\"; it must be a number from {minimum} to {maximum}.");

    private static string ExistingFile(string option, string path) =>
        File.Exists(path) ? path : throw new UsageException($"{option} is \"{path}\"; there is no such file.");
}

/// <summary>What the director tells a node at its start: which of the three it is, and all that the user said.</summary>
/// <param name="Index">0, 1 or 2.</param>
/// <param name="Life">1, and one more at each restart.</param>
/// <param name="FirstRequest">How many requests an earlier life of this node has done: it goes on there.</param>
/// <param name="Ports">Where the three listen.</param>
/// <param name="User">The user's own words.</param>
internal sealed record NodeArguments(int Index, int Life, long FirstRequest, int[] Ports, Arguments User)
{
    public const string Role = "node";

    public static NodeArguments Parse(string[] args)
    {
        if (args.Length < 5)
        {
            throw new UsageException($"\"{Role}\" is how this program starts itself; it is not for you to say.");
        }

        return new NodeArguments(
            int.Parse(args[1], CultureInfo.InvariantCulture),
            int.Parse(args[2], CultureInfo.InvariantCulture),
            long.Parse(args[3], CultureInfo.InvariantCulture),
            [.. args[4].Split(',').Select(port => int.Parse(port, CultureInfo.InvariantCulture))],
            Arguments.Parse(args.AsSpan(5)));
    }

    public IEnumerable<string> ToWords()
    {
        IEnumerable<string> own =
        [
            Role,
            Index.ToString(CultureInfo.InvariantCulture),
            Life.ToString(CultureInfo.InvariantCulture),
            FirstRequest.ToString(CultureInfo.InvariantCulture),
            string.Join(',', Ports.Select(port => port.ToString(CultureInfo.InvariantCulture))),
            "--keys",
            User.Keys.ToString(CultureInfo.InvariantCulture),
            "--replicas",
            User.Replicas.ToString(CultureInfo.InvariantCulture),
        ];
        return User.Trace is null ? own : own.Concat(["--trace", User.Trace]);
    }
}

/// <summary>The arguments are wrong; the message says which and what would be right.</summary>
internal sealed class UsageException(string message) : Exception(message);
