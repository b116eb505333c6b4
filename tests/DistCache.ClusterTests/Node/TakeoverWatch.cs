using System.Diagnostics.Metrics;

namespace DistCache.ClusterTests;

/// <summary>
/// Whether this node is still fetching what it owns, as its instruments tell. What a test kills next depends on it, since only what has its
/// copies again may lose one.
/// </summary>
internal sealed class TakeoverWatch : IDisposable
{
    private readonly Lock _lock = new();
    private readonly MeterListener _listener = new();
    private long _slots;

    public TakeoverWatch()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument is { Meter.Name: "DistCache", Name: "distcache.takeover.slots" })
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<long>((_, slots, _, _) => _slots += slots);
        _listener.Start();
    }

    public bool IsImporting
    {
        get
        {
            lock (_lock)
            {
                _slots = 0;
                _listener.RecordObservableInstruments();
                return _slots > 0;
            }
        }
    }

    public void Dispose() => _listener.Dispose();
}
