using System.Globalization;

namespace DistCache.Benchmarks.Peers;

/// <summary>What a process has cost so far.</summary>
/// <param name="Bytes">Allocated on its managed heap.</param>
/// <param name="Processor">Its time on all processors, in seconds.</param>
internal readonly record struct Cost(long Bytes, double Processor)
{
    public static Cost OfThisProcess() => new(GC.GetTotalAllocatedBytes(precise: true), Environment.CpuUsage.TotalTime.TotalSeconds);

    public static Cost Parse(string text)
    {
        var words = text.Split(' ');
        return new Cost(long.Parse(words[0], CultureInfo.InvariantCulture), double.Parse(words[1], CultureInfo.InvariantCulture));
    }

    public static Cost operator -(Cost later, Cost earlier) => new(later.Bytes - earlier.Bytes, later.Processor - earlier.Processor);

    public static Cost operator +(Cost one, Cost other) => new(one.Bytes + other.Bytes, one.Processor + other.Processor);

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Bytes} {Processor}");
}
