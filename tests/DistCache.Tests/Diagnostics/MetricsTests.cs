using System.Reflection;
using DistCache.Diagnostics;

namespace DistCache.Tests.Diagnostics;

public sealed class MetricsTests
{
    /// <summary>Much is counted on the threads that read lanes, and where something has failed: nobody stands there to catch it.</summary>
    [Test]
    public void Counting_BesideAFaultyListener_ThrowsNothing()
    {
        using var listener = new FaultyListener();
        var methods = typeof(Metrics).GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly).Where(static method => method.ReturnType == typeof(void)).ToArray();
        foreach (var method in methods)
        {
            Assert.That(() => method.Invoke(null, [.. method.GetParameters().Select(ValueFor)]), Throws.Nothing, method.Name);
        }

        Assert.That(listener.Calls, Is.GreaterThanOrEqualTo(methods.Length));
    }

    private static object ValueFor(ParameterInfo parameter) => parameter.ParameterType switch
    {
        var type when type == typeof(string) => "a text",
        var type when type == typeof(long) => 1L,
        var type when type == typeof(int) => 1,
        var type => Activator.CreateInstance(type)!,
    };
}
