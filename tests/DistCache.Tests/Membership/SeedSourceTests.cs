using System.Net;
using System.Net.Sockets;
using DistCache.Membership;
using DistCache.Peers;

namespace DistCache.Tests.Membership;

public sealed class SeedSourceTests
{
    private LineLogger _log = null!;
    private string _path = null!;

    [SetUp]
    public void SetUp()
    {
        _log = new LineLogger();
        _path = Path.Combine(TestContext.CurrentContext.WorkDirectory, Path.GetRandomFileName());
    }

    [TearDown]
    public void TearDown() => File.Delete(_path);

    [Test]
    public async Task Dns_NameOfManyNodes_GivesEachOnceWithThePortAndAsksAgain()
    {
        IPAddress[] answer = [IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.2"), IPAddress.Parse("10.0.0.1")];
        var seeds = new DnsSeeds(PeerAddress.Parse("cache.svc:7600"), (_, _) => Task.FromResult(answer), _log);

        Assert.That(Text(await seeds.ResolveAsync(default)), Is.EqualTo(new[] { "10.0.0.1:7600", "10.0.0.2:7600" }));
        answer = [IPAddress.Parse("fd00::7")];
        Assert.That(Text(await seeds.ResolveAsync(default)), Is.EqualTo(new[] { "[fd00::7]:7600" }));
    }

    [Test]
    public async Task Dns_NameComesAndGoes_LoggedOncePerChange()
    {
        var isKnown = false;
        var seeds = new DnsSeeds(
            PeerAddress.Parse("cache.svc:7600"),
            (_, _) => isKnown ? Task.FromResult<IPAddress[]>([IPAddress.Loopback]) : throw new SocketException((int)SocketError.HostNotFound),
            _log);

        for (var dial = 0; dial < 3; dial++)
        {
            Assert.That((await seeds.ResolveAsync(default)).IsComplete, Is.False);
        }

        Assert.That(_log.Lines, Has.Length.EqualTo(1));
        Assert.That(_log.Lines[0], Does.Contain("cache.svc:7600"));

        isKnown = true;
        await seeds.ResolveAsync(default);
        await seeds.ResolveAsync(default);
        Assert.That(_log.Lines, Has.Length.EqualTo(2));

        isKnown = false;
        await seeds.ResolveAsync(default);
        Assert.That(_log.Lines, Has.Length.EqualTo(3));
    }

    [Test]
    public async Task Dns_FailsNowThisWayAndNowThat_LoggedOnce()
    {
        var dial = 0;
        var seeds = new DnsSeeds(
            PeerAddress.Parse("cache.svc:7600"),
            (_, _) => throw new SocketException((int)(dial++ % 2 == 0 ? SocketError.HostNotFound : SocketError.TryAgain)),
            _log);

        for (var i = 0; i < 4; i++)
        {
            await seeds.ResolveAsync(default);
        }

        Assert.That(_log.Lines, Has.Length.EqualTo(1));
    }

    [Test]
    public async Task Dns_NameUnknownForAnHour_DialledForEverLoggedOnceThenJoins()
    {
        await using var network = new MemoryNetwork();
        var isKnown = false;
        var dials = 0;
        var source = new DnsSeeds(
            PeerAddress.Parse("cache.svc:1"),
            (_, _) =>
            {
                dials++;
                return isKnown ? Task.FromResult<IPAddress[]>([IPAddress.Parse("10.0.0.2")]) : throw new SocketException((int)SocketError.HostNotFound);
            },
            _log);
        var there = network.Add("10.0.0.2:1");
        var here = network.Add("10.0.0.1:1", source: source);
        await there.Loop.JoinAsync(CancellationToken.None);
        var join = here.Loop.JoinAsync(CancellationToken.None);

        network.Time.Advance(TimeSpan.FromHours(1));

        // Every 5 s, give or take half.
        Assert.That(dials, Is.InRange(480, 1_440));
        Assert.That(_log.Lines, Has.Length.EqualTo(1));
        Assert.That(join.IsCompletedSuccessfully, Is.True);

        isKnown = true;
        network.Time.Advance(TimeSpan.FromSeconds(15));

        Assert.That(here.StateOf(there), Is.EqualTo(MemberState.Alive));
        Assert.That(there.StateOf(here), Is.EqualTo(MemberState.Alive));
        Assert.That(_log.Lines, Has.Length.EqualTo(2));
    }

    [Test]
    public async Task File_WithCommentsAndBlankLines_GivesTheAddressesAndSeesChanges()
    {
        await File.WriteAllTextAsync(_path, "# the cluster\n10.0.0.1:7600\n\n  [fd00::7]:7601  # west\n");
        var seeds = new FileSeeds(_path, _log);

        Assert.That(Text(await seeds.ResolveAsync(default)), Is.EqualTo(new[] { "10.0.0.1:7600", "[fd00::7]:7601" }));
        await File.WriteAllTextAsync(_path, "10.0.0.9:7600");
        Assert.That(Text(await seeds.ResolveAsync(default)), Is.EqualTo(new[] { "10.0.0.9:7600" }));
        Assert.That(_log.Lines, Is.Empty);
    }

    [Test]
    public async Task File_BehindALinkThatIsPointedElsewhere_HasChangedUntilItIsReadAgain()
    {
        // As a ConfigMap is updated: the same names and lengths, behind another link.
        var folder = Directory.CreateTempSubdirectory("distcache-seeds-").FullName;
        try
        {
            foreach (var version in (string[])["1", "2"])
            {
                var file = Path.Combine(Directory.CreateDirectory(Path.Combine(folder, version)).FullName, "seeds");
                await File.WriteAllTextAsync(file, $"10.0.0.{version}:7600");
                File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch.AddHours(version[0]));
            }

            var data = Path.Combine(folder, "data");
            Directory.CreateSymbolicLink(data, Path.Combine(folder, "1"));
            var link = Path.Combine(folder, "seeds");
            File.CreateSymbolicLink(link, Path.Combine(data, "seeds"));
            var seeds = new FileSeeds(link, _log);
            Assert.That(seeds.HasChanged, Is.False, "nothing was read yet");
            await seeds.ResolveAsync(default);
            Assert.That(seeds.HasChanged, Is.False);

            Directory.Delete(data);
            Assert.That(seeds.HasChanged, Is.True, "it is not there");
            Directory.CreateSymbolicLink(data, Path.Combine(folder, "2"));
            Assert.That(seeds.HasChanged, Is.True);

            Assert.That(Text(await seeds.ResolveAsync(default)), Is.EqualTo(new[] { "10.0.0.2:7600" }));
            Assert.That(seeds.HasChanged, Is.False);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public async Task File_Changed_IsDialledWithinAProbeInterval()
    {
        await using var network = new MemoryNetwork();
        var here = network.Add("a:1", source: CombinedSeeds.Parse([$"file:{_path}"], _log));
        var there = network.Add("b:1");
        await File.WriteAllTextAsync(_path, "# nobody yet");
        await here.Loop.JoinAsync(CancellationToken.None);
        await there.Loop.JoinAsync(CancellationToken.None);

        await File.WriteAllTextAsync(_path, "b:1");
        network.Time.Advance(TimeSpan.FromSeconds(0.5));

        Assert.That(() => here.StateOf(there), Is.EqualTo(MemberState.Alive).After(Patience.Milliseconds, 5), "the file is read on another thread");
    }

    [Test]
    public async Task File_Missing_IncompleteAndLoggedOnceUntilItIsThere()
    {
        var seeds = new FileSeeds(_path, _log);

        Assert.That((await seeds.ResolveAsync(default)).IsComplete, Is.False);
        Assert.That((await seeds.ResolveAsync(default)).IsComplete, Is.False);
        Assert.That(_log.Lines, Has.Length.EqualTo(1));

        await File.WriteAllTextAsync(_path, "10.0.0.1:7600");
        Assert.That((await seeds.ResolveAsync(default)).IsComplete, Is.True);
        Assert.That(_log.Lines, Has.Length.EqualTo(2));
    }

    [TestCase("nonsense", "Line 2")]
    [TestCase("10.0.0.1:0", "Line 2")]
    [TestCase("10.0.0.1:70000", "Line 2")]
    public async Task File_LineIsNoAddress_SaysWhichAndKeepsThoseBefore(string line, string expected)
    {
        await File.WriteAllTextAsync(_path, $"10.0.0.5:7600\n{line}\n");

        var list = await new FileSeeds(_path, _log).ResolveAsync(default);

        Assert.That(Text(list), Is.EqualTo(new[] { "10.0.0.5:7600" }));
        Assert.That(list.IsComplete, Is.False);
        Assert.That(_log.Lines[0], Does.Contain(expected));
    }

    [Test]
    public async Task File_OfAGigabyteOrSo_IsNotRead()
    {
        await using (var file = File.Create(_path))
        {
            file.SetLength(1L << 30);
        }

        Assert.That((await new FileSeeds(_path, _log).ResolveAsync(default)).IsComplete, Is.False);
    }

    [Test]
    public async Task Entries_OfEachKind_AreCombinedAndOneFailingDoesNotHideTheOthers()
    {
        await File.WriteAllTextAsync(_path, "10.0.0.2:7600");
        var seeds = CombinedSeeds.Parse(["10.0.0.1:7600", $"file:{_path}", "file:/nowhere/at/all"], _log);

        var list = await seeds.ResolveAsync(default);

        Assert.That(Text(list), Is.EqualTo(new[] { "10.0.0.1:7600", "10.0.0.2:7600" }));
        Assert.That(list.IsComplete, Is.False);
    }

    [Test]
    public void Entries_NameAndAddress_NameIsResolvedAndAddressIsNot()
    {
        Assert.That(CombinedSeeds.Parse(["10.0.0.1:7600", "[::1]:7600"], _log), Is.InstanceOf<StaticSeeds>());
        Assert.That(CombinedSeeds.Parse(["cache.svc:7600"], _log), Is.InstanceOf<CombinedSeeds>());
        Assert.That(() => CombinedSeeds.Parse(["no port"], _log), Throws.InstanceOf<FormatException>());
    }

    private static IEnumerable<string> Text(SeedList list) => list.Addresses.Select(address => address.ToString());
}
