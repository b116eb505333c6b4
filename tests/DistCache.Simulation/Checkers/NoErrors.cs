namespace DistCache.Simulation.Checkers;

/// <summary>Nothing was logged at Error, no handler threw.</summary>
internal sealed class NoErrors : IChecker
{
    public void CheckQuiet(Simulation simulation) =>
        Assert.That(simulation.Trace.Errors, Is.Empty, () => simulation.Describe());
}
