namespace DistCache.Benchmarks;

/// <summary>Ranks in [0, n) with probability ∝ 1 / (rank + 1)^skew (Gray et al., "Quickly Generating Billion-Record Synthetic Databases", 1994).</summary>
internal sealed class Zipf
{
    private readonly int _count;
    private readonly double _skew;
    private readonly double _alpha;
    private readonly double _zeta;
    private readonly double _eta;

    public Zipf(int count, double skew)
    {
        (_count, _skew, _alpha) = (count, skew, 1 / (1 - skew));
        for (var i = 1; i <= count; i++)
        {
            _zeta += Math.Pow(i, -skew);
        }

        _eta = (1 - Math.Pow(2.0 / count, 1 - skew)) / (1 - ((1 + Math.Pow(2, -skew)) / _zeta));
    }

    public int Next(Random random)
    {
        var u = random.NextDouble();
        var uz = u * _zeta;
        return uz < 1 ? 0 : uz < 1 + Math.Pow(0.5, _skew) ? 1 : (int)(_count * Math.Pow((_eta * u) - _eta + 1, _alpha)) % _count;
    }
}
