using System.Diagnostics.Metrics;

namespace DistCache.Tests.Diagnostics;

/// <summary>A listener of the library's instruments that throws, on the thread that made it: other tests may measure at the same time.</summary>
internal sealed class FaultyListener : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly int _thread = Environment.CurrentManagedThreadId;

    public FaultyListener()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument.Meter.Name == "DistCache")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<long>((_, _, _, _) => Throw());
        _listener.SetMeasurementEventCallback<double>((_, _, _, _) => Throw());
        _listener.Start();
    }

    /// <summary>How often it threw.</summary>
    public int Calls { get; private set; }

    public void Dispose() => _listener.Dispose();

    private void Throw()
    {
        if (Environment.CurrentManagedThreadId == _thread)
        {
            Calls++;
            throw new InvalidOperationException("a faulty listener");
        }
    }
}
