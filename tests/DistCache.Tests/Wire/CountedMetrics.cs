using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace DistCache.Tests.Wire;

/// <summary>Adds up what the library counts while it lives: "instrument/reason" or "instrument".</summary>
internal sealed class CountedMetrics : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<string, long> _counts = new();

    public CountedMetrics()
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == "DistCache")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            var name = tags.Length == 0 ? instrument.Name : $"{instrument.Name}/{tags[0].Value}";
            _counts.AddOrUpdate(name, value, (_, sum) => sum + value);
        });
        _listener.Start();
    }

    public long this[string name] => _counts.GetValueOrDefault(name);

    public void Dispose() => _listener.Dispose();
}
