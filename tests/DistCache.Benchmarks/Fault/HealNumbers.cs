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
            List<double> old = [];
            List<double> oldWhileAgreed = [];
            for (var round = 0; round < arguments.Number("rounds", 5); round++)
            {
                var (all, agreed) = await MeasureAsync(trio, network, seconds, ++value);
                old.Add(all);
                oldWhileAgreed.Add(agreed);
            }

            Console.WriteLine(FormattableString.Invariant(
                $"cut for {seconds} s: shows older values for {Measure.Spread(old, "F0")} ms after the link is whole, {Measure.Spread(oldWhileAgreed, "F0")} ms after all members agree"));
        }
    }

    private static async Task<(double Old, double OldWhileAgreed)> MeasureAsync(Trio trio, SwitchedNetwork network, double seconds, byte value)
    {
        trio.Cut(Victim);
        var cut = Stopwatch.StartNew();
        await Entries.FillAsync(trio.Node.Cache, Keys, value);
        await Task.Delay(TimeSpan.FromSeconds(Math.Max(0, seconds - cut.Elapsed.TotalSeconds)));
        network.Heal();
        var clock = Stopwatch.StartNew();
        double? agreed = null;
        while (true)
        {
            // In this order: what is older now was so when all agreed.
            agreed = trio.IsAlive(Victim) ? agreed ?? clock.Elapsed.TotalMilliseconds : null;
            if (await trio.OlderAsync(Victim, Keys, value) == 0)
            {
                break;
            }

            if (clock.Elapsed > TimeSpan.FromSeconds(20))
            {
                throw new TimeoutException("It still shows older values after 20 s.");
            }
        }

        var old = clock.Elapsed.TotalMilliseconds;
        await trio.AgreeAsync(Place.Nodes);
        return (old, agreed is null ? 0 : Math.Max(0, old - agreed.Value));
    }
}
