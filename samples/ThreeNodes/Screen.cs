using System.Globalization;

namespace ThreeNodes;

/// <summary>
/// What the user sees. In a terminal the table is drawn over itself, with colour unless NO_COLOR is set. Elsewhere (a file, a pipe, a dumb
/// terminal) there are plain lines, fewer of them, and no control character. ASCII only and at most 79 columns, so it looks right anywhere.
/// </summary>
internal sealed class Screen
{
    private const int BarWidth = 40;

    /// <summary>In less than this a line of the table would wrap, be two for the terminal and one for us, and drawing over it go astray.</summary>
    private const int MinimumWidth = 80;

    private const string Green = "32";
    private const string Red = "31";
    private const string Bold = "1";

    private readonly TextWriter _out = Console.Out;
    private readonly bool _isLive =
        !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb" && Console.WindowWidth >= MinimumWidth;

    private readonly bool _hasColour;
    private readonly TimeSpan _interval;
    private readonly Dictionary<string, Rate> _rates = [];
    private TimeSpan _nextDraw;
    private int _drawnLines;

    public Screen()
    {
        _hasColour = _isLive && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
        _interval = _isLive ? TimeSpan.Zero : TimeSpan.FromSeconds(2);
    }

    public void Title(string workload, int replicas)
    {
        _out.WriteLine(Paint("DistCache: three node processes on this machine, one cache", Bold));
        _out.WriteLine($"Load     {workload}");
        _out.WriteLine(replicas switch
        {
            0 => "Copies   none beside the primary's: what a killed node held is lost",
            1 => "Copies   1 beside the primary's; a write is acknowledged when both are there",
            _ => $"Copies   {replicas} beside the primary's; a write is acknowledged by a majority",
        });
        _out.WriteLine();
    }

    /// <summary>Something happened: a line that stays.</summary>
    public void Event(TimeSpan elapsed, string text)
    {
        Erase();
        _out.WriteLine($"{Seconds(elapsed)}  {text}");
        _nextDraw = elapsed + (_interval / 2);
    }

    public void Draw(TimeSpan elapsed, double done, IReadOnlyList<NodeProcess> nodes)
    {
        foreach (var node in nodes)
        {
            RateOf(node).Add(elapsed, node.Progress);
        }

        if (elapsed < _nextDraw)
        {
            return;
        }

        _nextDraw = elapsed + _interval;
        var filled = (int)(BarWidth * Math.Clamp(done, 0, 1));
        string[] table =
        [
            $"{Seconds(elapsed)}  [{new string('#', filled)}{new string('.', BarWidth - filled)}]",
            "          node    state      ops/s   hits  slots        p50        p99 members",
            .. nodes.Select(Row),
        ];
        Erase();
        foreach (var line in table)
        {
            _out.WriteLine(line);
        }

        _drawnLines = _isLive ? table.Length : 0;
        _out.Flush();
    }

    public void Show(Summary summary)
    {
        Erase();
        _out.WriteLine();
        _out.WriteLine(Paint("Summary", Bold));
        foreach (var (name, text) in summary.Facts())
        {
            _out.WriteLine($"  {name,-20}{text}");
        }

        _out.WriteLine();
        _out.WriteLine(Paint(summary.Conclusion, summary.IsGood ? Green : Red));
    }

    private string Row(NodeProcess node)
    {
        var (state, colour) = node.State switch
        {
            NodeState.Up => ("up", Green),
            NodeState.Killed => ("killed", Red),
            _ => ("starting", ""),
        };
        var name = $"          {node.Name}  {Paint(state, colour)}";
        if (node.State != NodeState.Up || RateOf(node).PerSecond() is not var (operations, hits))
        {
            return name;
        }

        var progress = node.Progress;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{name}{new string(' ', 8 - state.Length)} {operations,7:N0} {hits,6:0.0%} {progress.Share,6:0.0%} {Milliseconds(progress.Median)} {Milliseconds(progress.Percentile99)} {progress.Members,7}");
    }

    private Rate RateOf(NodeProcess node)
    {
        // A new life counts from zero, so it has a rate of its own.
        var life = $"{node.Name}/{node.Arguments.Life}";
        if (!_rates.TryGetValue(life, out var rate))
        {
            _rates.Add(life, rate = new Rate());
        }

        return rate;
    }

    /// <summary>Takes back the table that was drawn last: up to its first line, and clear from there on.</summary>
    private void Erase()
    {
        if (_drawnLines > 0)
        {
            _out.Write($"\e[{_drawnLines}A\e[J");
            _drawnLines = 0;
        }
    }

    private string Paint(string text, string colour) => _hasColour && colour.Length > 0 ? $"\e[{colour}m{text}\e[0m" : text;

    private static string Seconds(TimeSpan elapsed) => string.Create(CultureInfo.InvariantCulture, $"{elapsed.TotalSeconds,6:F1} s");

    private static string Milliseconds(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds,7:F2} ms");

    /// <summary>What a node did in the last two seconds.</summary>
    private sealed class Rate
    {
        private static readonly TimeSpan Window = TimeSpan.FromSeconds(2);
        private readonly Queue<(TimeSpan At, Progress Progress)> _samples = new();
        private (TimeSpan At, Progress Progress) _last;

        public void Add(TimeSpan at, in Progress progress)
        {
            _last = (at, progress);
            _samples.Enqueue(_last);
            while (_samples.Peek().At < at - Window)
            {
                _samples.Dequeue();
            }
        }

        /// <summary>Null until there is something to tell.</summary>
        public (double Operations, double Hits)? PerSecond()
        {
            var (at, first) = _samples.Peek();
            var seconds = (_last.At - at).TotalSeconds;
            var gets = _last.Progress.Gets - first.Gets;
            return seconds > 0 && gets > 0
                ? ((_last.Progress.Operations - first.Operations) / seconds, (double)(_last.Progress.Hits - first.Hits) / gets)
                : null;
        }
    }
}
