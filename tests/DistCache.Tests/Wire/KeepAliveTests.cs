using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>By the clock of the framework, whose pings go by no other.</summary>
internal sealed class KeepAliveTests
{
    private static readonly KeepAlive Soon = new(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));

    /// <summary>Nobody asks anything any more, so no request could run out of time and tell.</summary>
    [Test]
    public async Task IdleLane_ThatIsCut_IsGivenUpAtBothEnds()
    {
        await using var there = await TestNode.StartAsync("there", keepAlive: Soon);
        using var relay = new Relay(there.Address);
        await using var here = TestNode.Create("here", keepAlive: Soon);
        var broken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        here.Transport.Broken += _ => broken.TrySetResult();
        Assert.That(await here.Transport.SendAsync(relay.Address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None), Is.TypeOf<ReadReply>());

        relay.Cut();

        await broken.Task.WaitAsync(TestNode.Patience);
        Assert.That(() => there.Transport.ServedConnections, Is.Zero.After(Patience.Milliseconds, 20));
    }
}
