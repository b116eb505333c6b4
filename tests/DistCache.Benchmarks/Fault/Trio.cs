using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace DistCache.Benchmarks.Fault;

/// <summary>Three nodes: the first in this process, the others each in its own.</summary>
internal sealed partial class Trio : IAsyncDisposable
{
    private const int StopSignal = 19;
    private const int ContinueSignal = 18;
    private static readonly TimeSpan AgreeTimeout = TimeSpan.FromSeconds(30);

    private readonly Place _place;
    private readonly Arguments _arguments;
    private readonly Process?[] _others = new Process?[Place.Nodes];
    private string _seen = "nothing";

    private Trio(Place place, Arguments arguments)
    {
        _place = place;
        _arguments = arguments;
    }

    public FaultNode Node { get; private set; } = null!;

    public static async Task<Trio> StartAsync(Place place, Arguments arguments)
    {
        place.Refresh();
        var trio = new Trio(place, arguments);
        var starting = FaultNode.StartAsync(0, place.Addresses, arguments);
        for (var index = 1; index < Place.Nodes; index++)
        {
            trio._others[index] = place.StartNode(index, arguments);
        }

        for (var index = 1; index < Place.Nodes; index++)
        {
            await trio.ReadyAsync(index);
        }

        trio.Node = await starting;
        await trio.AgreeAsync(Place.Nodes);
        return trio;
    }

    public int ProcessOf(int index) => index == 0 ? Environment.ProcessId : _others[index]!.Id;

    public void Kill(int index)
    {
        _others[index]!.Kill();
        _others[index] = null;
    }

    public void Pause(int index) => _ = kill(ProcessOf(index), StopSignal);

    public void Continue(int index) => _ = kill(ProcessOf(index), ContinueSignal);

    public void Cut(int index) => _place.Network!.Cut(index);

    /// <summary>Gracefully, and starts it again; says when each part of that began.</summary>
    public async Task RestartAsync(int index, Action<string> begins)
    {
        begins("hands over and exits");
        await _others[index]!.StandardInput.WriteLineAsync("stop");
        await _others[index]!.WaitForExitAsync();
        _others[index] = null;
        begins("is away");
        await AgreeAsync(Place.Nodes - 1);
        begins("starts");
        _others[index] = _place.StartNode(index, _arguments);
        await ReadyAsync(index);
        begins("settles and takes over");
        await AgreeAsync(Place.Nodes);
    }

    /// <summary>So many nodes own everything by one table, and each has fetched what it owns.</summary>
    public async Task AgreeAsync(int owners)
    {
        var clock = Stopwatch.StartNew();
        while (!await IsAgreedAsync(owners))
        {
            if (clock.Elapsed > AgreeTimeout)
            {
                throw new TimeoutException($"No {owners} owners after {AgreeTimeout.TotalSeconds} s: {_seen}");
            }

            await Task.Delay(20);
        }
    }

    /// <summary>How many keys the node shows with another value, and how many it does not answer.</summary>
    public async Task<(int Older, int Unanswered)> OlderAsync(int index, int keys, byte value)
    {
        var other = _others[index]!;
        await other.StandardInput.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"older {keys} {value}"));
        var told = (await other.StandardOutput.ReadLineAsync())!.Split(' ');
        return (int.Parse(told[0], CultureInfo.InvariantCulture), int.Parse(told[1], CultureInfo.InvariantCulture));
    }

    /// <summary>In the eyes of the node in this process.</summary>
    public bool IsAlive(int index) => Node.View.Members.Any(member => member.NodeName == FaultNode.NameOf(index) && member.State == MemberState.Alive);

    public bool Owns(int count) => Node.View.Members.Count(member => member.ShareOfSlots > 0) == count;

    public async ValueTask DisposeAsync()
    {
        _place.Network?.Heal();
        foreach (var other in _others.OfType<Process>())
        {
            other.Kill();
            await other.WaitForExitAsync();
            other.Dispose();
        }

        await Node.DisposeAsync();
    }

    private async Task<bool> IsAgreedAsync(int owners)
    {
        _seen = $"{string.Join(' ', Node.View.Members)}, {Node.Reading.ImportingSlots} slots to take over here";
        if (!Owns(owners) || Node.Reading.ImportingSlots > 0)
        {
            return false;
        }

        foreach (var other in _others.OfType<Process>())
        {
            await other.StandardInput.WriteLineAsync("");
            var told = (await other.StandardOutput.ReadLineAsync())!.Split(' ');
            _seen = $"table {Node.View.TableHash} here, {string.Join(' ', told)} in process {other.Id}";
            if (ulong.Parse(told[0], CultureInfo.InvariantCulture) != Node.View.TableHash || told[1] != "0")
            {
                return false;
            }
        }

        return true;
    }

    private async Task ReadyAsync(int index)
    {
        if (await _others[index]!.StandardOutput.ReadLineAsync() != "ready")
        {
            throw new InvalidOperationException($"{FaultNode.NameOf(index)} did not start.");
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int kill(int id, int signal);
}
