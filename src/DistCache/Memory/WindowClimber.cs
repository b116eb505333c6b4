namespace DistCache.Memory;

/// <summary>
/// Finds the share of the window under W-TinyLFU by hill climbing: every few times the cache's size in uses it compares the hit ratio
/// with that of the sample before, goes on in the direction that was better and turns where it was worse. Steps shrink until the
/// ratio jumps, which says that the workload is another one. One for the whole tier: shards see the same mix.
/// </summary>
internal sealed class WindowClimber(int shards)
{
    private const double StartShare = 0.2;
    private const double LargestShare = 0.8;
    private const double FirstStep = 0.0625;
    private const double StepDecay = 0.98;
    private const double RestartThreshold = 0.05;
    private const int SampleFactor = 10;

    private readonly Lock _lock = new();
    private long _hits;
    private long _requests;
    private double _lastRatio;
    private double _step = FirstStep;
    private bool _hasLastRatio;
    private double _share = StartShare;

    /// <summary>Of the values of a class, so many stand in its window.</summary>
    public double WindowShare => Volatile.Read(ref _share);

    public void Report(int hits, int misses, int entriesOfShard)
    {
        lock (_lock)
        {
            _hits += hits;
            _requests += hits + misses;
            if (_requests >= (long)SampleFactor * entriesOfShard * shards)
            {
                ClimbLocked((double)_hits / _requests);
                _hits = _requests = 0;
            }
        }
    }

    private void ClimbLocked(double ratio)
    {
        var change = ratio - _lastRatio;
        if (_hasLastRatio)
        {
            var direction = change >= 0 ? _step : -_step;
            Volatile.Write(ref _share, Math.Clamp(_share + direction, 0, LargestShare));
            _step = Math.Abs(change) >= RestartThreshold ? FirstStep * Math.Sign(direction) : direction * StepDecay;
        }

        _lastRatio = ratio;
        _hasLastRatio = true;
    }
}
