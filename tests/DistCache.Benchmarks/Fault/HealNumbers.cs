using System.Diagnostics;
using System.Globalization;
using DistCache.ClusterTests;

namespace DistCache.Benchmarks.Fault;

/// <summary>
/// The link of one of three nodes is cut, all keys are overwritten by another one, and the link is whole again: for how long the node that was cut
/// off goes on showing its callers what it had.
/// </summary>
internal static class HealNumbers
{
    private const int Keys = 1_000;
    private const int Victim = 2;

    public static async Task RunAsync(Place place, Arguments arguments)
    {
        if (place.Network is not { } network)
        {
            return;
        }

        await using var trio = await Trio.StartAsync(place, arguments);
        await Entries.FillAsync(trio.Node.Cache, Keys);
        byte value = 0;
        foreach (var seconds in arguments.Text("cuts", "0.5,1,2,5").Split(',').Select(text => double.Parse(text, CultureInfo.InvariantCulture)))
        {
            List<(double Older, double WhileAgreed, double Unanswered)> rounds = [];
            for (var round = 0; round < arguments.Number("rounds", 5); round++)
            {
                rounds.Add(await MeasureAsync(trio, network, seconds, ++value));
            }

            Console.WriteLine(FormattableString.Invariant(
                $"cut for {seconds} s: older values until {Of(round => round.Older)} ms after the link is whole, {Of(round => round.WhileAgreed)} ms after all members agree; reads without an answer until {Of(round => round.Unanswered)} ms"));

            string Of(Func<(double Older, double WhileAgreed, double Unanswered), double> part) => Measure.Spread([.. rounds.Select(part)], "F0");
        }
    }

    /// <summary>Until when the node showed older values, how long after all agreed that was, and until when nobody answered a read; after the link was whole.</summary>
    private static async Task<(double Older, double WhileAgreed, double Unanswered)> MeasureAsync(Trio trio, SwitchedNetwork network, double seconds, byte value)
    {
        trio.Cut(Victim);
        var cut = Stopwatch.StartNew();
        await Entries.FillAsync(trio.Node.Cache, Keys, value);
        await Task.Delay(TimeSpan.FromSeconds(Math.Max(0, seconds - cut.Elapsed.TotalSeconds)));
        network.Heal();
        var clock = Stopwatch.StartNew();
        double? agreed = null;
        var (lastOlder, lastUnanswered) = (0.0, 0.0);
        while (true)
        {
            // In this order: what is older now was so when all agreed.
            agreed = trio.IsAlive(Victim) ? agreed ?? clock.Elapsed.TotalMilliseconds : null;
            var (older, unanswered) = await trio.OlderAsync(Victim, Keys, value);
            var now = clock.Elapsed.TotalMilliseconds;
            lastOlder = older > 0 ? now : lastOlder;
            lastUnanswered = unanswered > 0 ? now : lastUnanswered;
            if (older + unanswered == 0)
            {
                break;
            }

            if (clock.Elapsed > TimeSpan.FromSeconds(20))
            {
                throw new TimeoutException("It still shows older values after 20 s.");
            }
        }

        await trio.AgreeAsync(Place.Nodes);
        return (lastOlder, agreed is null ? 0 : Math.Max(0, lastOlder - agreed.Value), lastUnanswered);
    }
}
