using System.Globalization;

namespace ThreeNodes;

/// <summary>What is known at the end, and whether it is good.</summary>
internal sealed class Summary
{
    private const int ExamplesShown = 5;

    private readonly Dictionary<Verdict, long> _verdicts = [];
    private readonly HashSet<string> _lostKeys = [];
    private readonly List<string> _examples = [];
    private readonly List<Progress> _lives = [];
    private TimeSpan _load;
    private TimeSpan _killed;
    private TimeSpan _longest;
    private TimeSpan _return;
    private string _victim = "";
    private long _acknowledged;
    private int _keys;

    public bool IsGood => _keys > 0 && _lostKeys.Count == 0 && Evicted == 0;

    public string Conclusion => this switch
    {
        { _keys: 0 } => "Nothing was acknowledged, so nothing was shown.",
        { _lostKeys.Count: > 0 } => string.Create(CultureInfo.InvariantCulture, $"LOST: {_lostKeys.Count:N0} of {_keys:N0} keys."),
        { Evicted: > 0 } => "Entries were evicted, so this check shows nothing: give it fewer keys.",
        _ => "No acknowledged write was lost.",
    };

    private long Evicted => _lives.Sum(life => life.Evicted);

    public void Kill(string name, TimeSpan at, in Progress life, TimeSpan longest)
    {
        (_victim, _killed, _longest) = (name, at, longest);
        _lives.Add(life);
    }

    public void Return(TimeSpan duration) => _return = duration;

    public void Judge(string node, string key, Verdict verdict)
    {
        _verdicts[verdict] = _verdicts.GetValueOrDefault(verdict) + 1;
        if (verdict == Verdict.Kept)
        {
            return;
        }

        _lostKeys.Add(key);
        if (_examples.Count < ExamplesShown)
        {
            _examples.Add($"{key} is {verdict.ToString().ToLowerInvariant()} on {node}");
        }
    }

    public void Check(int keys) => _keys = keys;

    public void End(TimeSpan load, long acknowledged, IEnumerable<NodeProcess> nodes)
    {
        (_load, _acknowledged) = (load, acknowledged);
        _lives.AddRange(nodes.Select(node => node.Progress));
    }

    public IEnumerable<(string Name, string Text)> Facts()
    {
        var operations = _lives.Sum(life => life.Operations);
        var gets = _lives.Sum(life => life.Gets);
        var hits = _lives.Sum(life => life.Hits);
        yield return ("operations", Text($"{operations:N0} in {_load.TotalSeconds:F1} s, {operations / _load.TotalSeconds:N0} a second"));
        yield return ("gets", Text($"{gets:N0}, {(double)hits / Math.Max(1, gets):P1} hits, {_lives.Sum(life => life.FailedGets):N0} failed"));
        yield return ("sets", Text($"{_lives.Sum(life => life.Sets):N0}, {_lives.Sum(life => life.FailedSets):N0} failed (not acknowledged)"));
        yield return ("kill", Text($"{_victim} at {_killed.TotalSeconds:F1} s"));
        yield return ("stall", Text($"{_longest.TotalMilliseconds:N0} ms: the longest operation on the others meanwhile"));
        yield return ("return", Text($"member and owner again {_return.TotalSeconds:F1} s after its start"));
        yield return ("evicted", Text($"{Evicted:N0} entries"));
        yield return ("acknowledged", Text($"{_acknowledged:N0} writes of {_keys:N0} keys, as the nodes reported"));
        yield return ("", "(unknown is what the killed one did in its last 0.2 s)");
        yield return ("checked", Text($"{_verdicts.Values.Sum():N0} reads: every key through every node"));
        yield return ("lost", Text($"{_lostKeys.Count:N0} keys"));
        if (_lostKeys.Count > 0)
        {
            yield return ("", Text($"reads: {Count(Verdict.Missing)} missing, {Count(Verdict.Older)} older, {Count(Verdict.Damaged)} damaged, {Count(Verdict.Unreadable)} failed"));
        }

        foreach (var example in _examples)
        {
            yield return ("", example);
        }
    }

    private string Count(Verdict verdict) => Text($"{_verdicts.GetValueOrDefault(verdict):N0}");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
