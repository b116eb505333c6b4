using DistCache.Hosting;

namespace DistCache.Tests.Hosting;

/// <summary>Each option one past its bounds: the message names the property, the value and the bound.</summary>
public sealed class OptionsValidationTests
{
    private static readonly DistCacheOptionsValidator Validator = new();

    private static IEnumerable<TestCaseData> Invalid()
    {
        yield return Case(o => o.Cluster.Name = "", "Cluster.Name", "64");
        yield return Case(o => o.Cluster.Name = new string('x', 65), "Cluster.Name", "64");
        yield return Case(o => o.Cluster.Listen = "7600", "Cluster.Listen", "7600", "host:port");
        yield return Case(o => o.Cluster.Listen = "localhost:65536", "Cluster.Listen", "localhost:65536");
        yield return Case(o => o.Cluster.Advertise = "localhost:0", "Cluster.Advertise", "localhost:0", "1 to 65535");
        yield return Case(o => o.Cluster.Seeds.Add("localhost:7600"), "Cluster.Listen", "Cluster.Seeds", "0.0.0.0:7600");
        yield return Case(
            o =>
            {
                o.Cluster.Listen = "localhost:7600";
                o.Cluster.Seeds.Add("localhost:7600");
                o.Cluster.Seeds.Add("nonsense");
            },
            "Cluster.Seeds[1]",
            "nonsense");
        yield return Case(o => o.Cluster.NodeName = "", "Cluster.NodeName", "255");
        yield return Case(o => o.Cluster.NodeName = "a\nb", "Cluster.NodeName", "control");
        yield return Case(o => o.Cluster.Zone = new string('z', 65), "Cluster.Zone", "64");
        yield return Case(o => o.Cluster.SharedSecret = "fifteen letters", "Cluster.SharedSecret", "15", "16");
        yield return Case(o => o.Cluster.Profile = (ClusterProfile)7, "Cluster.Profile", "7", "Lan, Fast");
        yield return Case(o => o.Cluster.JoinTimeout = TimeSpan.FromTicks(-1), "Cluster.JoinTimeout", "-00:00:00.0000001");
        yield return Case(o => o.Cluster.LeaveTimeout = TimeSpan.FromMinutes(11), "Cluster.LeaveTimeout", "00:11:00", "00:10:00");
        yield return Case(o => o.Memory.SizeLimit = 0, "Memory.SizeLimit", "is 0");
        yield return Case(o => o.Memory.SizeLimit = (512 << 10) - 1, "Memory.SizeLimit", "524287", "524288");
        yield return Case(o => o.Memory.SizeLimit = (128L << 30) + 1, "Memory.SizeLimit", "137438953473", "137438953472");
        yield return Case(o => o.Memory.SizeLimit = -5, "Memory.SizeLimit", "-5");
        yield return Case(o => o.Memory.Eviction = (Eviction)2, "Memory.Eviction", "2", "Lru, Lfu");
        yield return Case(o => o.Memory.MaximumKeyBytes = 4_097, "Memory.MaximumKeyBytes", "4097", "4096");
        yield return Case(o => o.Memory.MaximumKeyBytes = 0, "Memory.MaximumKeyBytes", "is 0");
        yield return Case(o => o.Memory.MaximumValueBytes = (64 << 20) + 1, "Memory.MaximumValueBytes", "67108865", "67108864");
        yield return Case(o => o.Memory.DefaultExpiration = TimeSpan.Zero, "Memory.DefaultExpiration", "00:00:00");
        yield return Case(o => o.Replication.ReplicaCount = -1, "Replication.ReplicaCount", "-1", "7");
        yield return Case(o => o.Replication.ReplicaCount = 8, "Replication.ReplicaCount", "8", "7");
        yield return Case(o => o.Replication.WriteAck = (WriteAck)3, "Replication.WriteAck", "3");
        yield return Case(o => o.Replication.ReadFrom = (ReadFrom)3, "Replication.ReadFrom", "3");
        yield return Case(o => o.Replication.OnReadFailure = (OnReadFailure)2, "Replication.OnReadFailure", "2");
        yield return Case(o => o.Replication.Timeout = TimeSpan.FromMilliseconds(9), "Replication.Timeout", "00:00:00.0090000", "00:00:00.0100000");
        yield return Case(o => o.Replication.TombstoneLifetime = TimeSpan.FromDays(8), "Replication.TombstoneLifetime", "8.00:00:00", "7.00:00:00");
        yield return Case(o => o.Replication.TombstoneLifetime = TimeSpan.FromMinutes(9), "Replication.TombstoneLifetime", "00:09:00", "00:10:00");
        yield return Case(o => o.Replication.MinimumMembers = 0, "Replication.MinimumMembers", "is 0");
        yield return Case(o => o.Replication.MinimumMembers = 257, "Replication.MinimumMembers", "257", "256");
    }

    [TestCaseSource(nameof(Invalid))]
    public void Validate_OnePastABound_NamesPropertyValueAndBound(Action<DistCacheOptions> spoil, string[] expected)
    {
        var options = new DistCacheOptions();
        spoil(options);
        var result = Validator.Validate(null, options);
        Assert.That(result.Failed, Is.True);
        var failure = string.Join('\n', result.Failures!);
        foreach (var part in expected)
        {
            Assert.That(failure, Does.Contain(part));
        }
    }

    [Test]
    public void Validate_TheDefaults_Succeeds() => Assert.That(Validator.Validate(null, new DistCacheOptions()).Succeeded, Is.True);

    [Test]
    public void Validate_SeveralErrors_TellsAllOfThem()
    {
        var options = new DistCacheOptions();
        options.Memory.SizeLimit = 0;
        options.Replication.ReplicaCount = 99;
        Assert.That(Validator.Validate(null, options).Failures, Has.Exactly(2).Items);
    }

    [Test]
    public void Validate_ASecretThatIsTooShort_DoesNotTellIt()
    {
        var options = new DistCacheOptions();
        options.Cluster.SharedSecret = "hunter2";
        Assert.That(string.Join('\n', Validator.Validate(null, options).Failures!), Does.Not.Contain("hunter2"));
    }

    private static TestCaseData Case(Action<DistCacheOptions> spoil, params string[] expected) =>
        new TestCaseData(spoil, expected).SetArgDisplayNames(string.Join(" | ", expected));
}
