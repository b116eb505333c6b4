using DistCache.Peers;
using DistCache.Replication;

namespace DistCache.Tests.Replication;

[CancelAfter(20_000)]
public sealed class FirstAnswerTests
{
    [Test]
    public async Task Reply_BeforeTheHedge_IsGiven(CancellationToken token)
    {
        var source = new TaskCompletionSource<PeerReply>();
        var answer = FirstAnswer.Rent();
        var version = answer.Version;
        var followed = answer.Follow(new ValueTask<PeerReply>(source.Task)).AsTask();
        source.SetResult(DoneReply.Instance);
        Assert.That(await followed.WaitAsync(token), Is.SameAs(DoneReply.Instance));
        answer.Hedge(version);
        Assert.That(answer.Version, Is.Not.EqualTo(version), "it is another use by now, which a late hedge leaves alone");
    }

    [Test]
    public async Task Hedge_BeforeTheReply_GivesNullAndTheReplyLater(CancellationToken token)
    {
        var source = new TaskCompletionSource<PeerReply>();
        var answer = FirstAnswer.Rent();
        var followed = answer.Follow(new ValueTask<PeerReply>(source.Task)).AsTask();
        answer.Hedge(answer.Version);
        Assert.That(await followed.WaitAsync(token), Is.Null);
        source.SetResult(DoneReply.Instance);
        Assert.That(await answer.Late.WaitAsync(token), Is.SameAs(DoneReply.Instance));
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Cancellation_BeforeOrAfterTheHedge_SurfacesAsCancellation(bool isHedged, CancellationToken token)
    {
        var source = new TaskCompletionSource<PeerReply>();
        var answer = FirstAnswer.Rent();
        var followed = answer.Follow(new ValueTask<PeerReply>(source.Task)).AsTask();
        if (isHedged)
        {
            answer.Hedge(answer.Version);
        }

        source.SetException(new OperationCanceledException());
        Assert.That(async () => await (isHedged ? (Task)answer.Late : followed).WaitAsync(token), Throws.InstanceOf<OperationCanceledException>());
    }
}
