using System.Net;
using System.Net.Sockets;
using DistCache.Peers;
using DistCache.Wire;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace DistCache.Tests.Wire;

/// <summary>What a node hears that dials the wrong one.</summary>
internal sealed class HandshakeTests
{
    [Test]
    public async Task Peer_OfAnotherCluster_IsRefusedWithBothNames()
    {
        await using var here = TestNode.Create("here", "green");
        await using var there = await TestNode.StartAsync("there", "blue");

        var fault = await here.SendAsync(there, TestNode.Read("key"));

        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Refused));
        Assert.That(((PeerFault)fault).Reason, Does.Contain("green").And.Contain("blue"));
    }

    [TestCase("secret", "secret", true)]
    [TestCase("secret", "other", false)]
    [TestCase("secret", null, false)]
    [TestCase(null, "secret", false)]
    public async Task Peer_IsAccepted_OnlyWithTheSameSecret(string? ours, string? theirs, bool accepted)
    {
        await using var here = TestNode.Create("here", secret: ours);
        await using var there = await TestNode.StartAsync("there", secret: theirs);

        var reply = await here.SendAsync(there, TestNode.Read("key"));

        Assert.That(reply is ReadReply, Is.EqualTo(accepted), $"{reply}");
        if (!accepted)
        {
            Assert.That(((PeerFault)reply).Kind, Is.EqualTo(FaultKind.Refused));
            Assert.That(((PeerFault)reply).Reason, Does.Contain("status 16"));
        }
    }

    [Test]
    public void Proof_DependsOnEverythingThatNamesTheConnection()
    {
        var dialler = RawLane.Hello();
        var listener = RawLane.Hello() with { Nonce = new byte[] { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
        var otherName = new NodeIdentity(NodeName.Parse("other"), dialler.Identity.Incarnation);
        var otherLife = dialler.Identity with { Incarnation = 5 };
        byte[][] proofs =
        [
            Proof.ByDialler("a"u8, dialler, listener),
            Proof.ByDialler("b"u8, dialler, listener),
            Proof.ByListener("a"u8, dialler, listener),
            Proof.ByDialler("a"u8, listener, dialler),
            Proof.ByDialler("a"u8, dialler, dialler),
            Proof.ByDialler("a"u8, dialler with { Cluster = "other" }, listener),
            Proof.ByDialler("a"u8, dialler with { Identity = otherName }, listener),
            Proof.ByDialler("a"u8, dialler with { Identity = otherLife }, listener),
            Proof.ByDialler("a"u8, dialler, listener with { Identity = otherName }),
            Proof.ByDialler("a"u8, dialler with { Lane = Lane.Bulk }, listener),
            Proof.ByDialler("a"u8, dialler with { Protocol = 2 }, listener),
        ];

        Assert.That(proofs.Select(Convert.ToHexString), Is.Unique);
        Assert.That(Proof.ByDialler("a"u8, dialler, listener), Is.EqualTo(proofs[0]));
    }

    [Test]
    public async Task Seed_WhereNobodyListens_IsSaidSoAtOnceAndRemembered()
    {
        var time = new ManualTime();
        await using var here = TestNode.Create("here", time: time);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = new PeerAddress("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port);
        listener.Stop();
        var broken = 0;
        here.Transport.Broken += _ => broken++;

        var first = await here.Transport.SendAsync(address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);
        var second = here.Transport.SendAsync(address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(first, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.NotListening));
        Assert.That(second.IsCompleted, Is.True);
        Assert.That(await second, Is.SameAs(first));
        Assert.That(broken, Is.EqualTo(1), "a remembered failure dials nobody");

        time.Advance(TimeSpan.FromSeconds(1));
        var third = await here.Transport.SendAsync(address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);
        Assert.That(third, Is.Not.SameAs(first).And.TypeOf<PeerFault>());
        Assert.That(broken, Is.EqualTo(2));
    }

    /// <summary>It would be probed at once, by a dial of as long, and so without any rest.</summary>
    [Test]
    public async Task Address_ThatStaysSilent_IsNoLaneThatBroke()
    {
        var time = new ManualTime();
        await using var here = TestNode.Create("here", time: time);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var broken = 0;
        here.Transport.Broken += _ => broken++;

        var address = new PeerAddress("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port);
        var reply = here.Transport.SendAsync(address, TestNode.Read("key"), TimeSpan.FromHours(1), CancellationToken.None).AsTask();
        using var accepted = await listener.AcceptTcpClientAsync().WaitAsync(TestNode.Patience);
        time.Advance(WireLimits.HandshakeTimeout);

        Assert.That(await reply.WaitAsync(TestNode.Patience), Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.TimedOut));
        Assert.That(broken, Is.Zero);
    }

    /// <summary>From 50 ms up to a second, less up to a half by chance.</summary>
    [Test]
    public async Task Seed_ThatGoesOnRefusing_IsDialledLessAndLess()
    {
        var time = new ManualTime();
        await using var here = TestNode.Create("here", time: time);
        var refusing = new Refusing(here);

        foreach (var longest in (int[])[50, 100, 200, 400, 800, 1_000, 1_000])
        {
            Assert.That(await refusing.DialsAsync(1), Is.EqualTo(1));
            time.Advance(TimeSpan.FromMilliseconds((longest / 2) - 1));
            Assert.That(await refusing.DialsAsync(1), Is.Zero, $"before half of {longest} ms");
            time.Advance(TimeSpan.FromMilliseconds((longest / 2) + 1));
        }
    }

    [Test]
    public async Task Seeds_ThatRefuseAtOnce_AreNotDialledAgainAtOnce()
    {
        const int seeds = 20;
        var time = new ManualTime();
        await using var here = TestNode.Create("here", time: time);
        var refusing = new Refusing(here);

        Assert.That(await refusing.DialsAsync(seeds), Is.EqualTo(seeds));
        time.Advance(TimeSpan.FromMilliseconds(37.5));

        Assert.That(await refusing.DialsAsync(seeds), Is.Positive.And.LessThan(seeds), "chance keeps nodes apart that lost the same peer");
    }

    [Test]
    public async Task Seed_WhoseNameDoesNotResolve_IsUnreachable()
    {
        // No server is asked for a label of more than 63 characters.
        var host = $"{new string('a', 64)}.invalid";
        await using var here = TestNode.Create("here");

        var fault = await here.Transport.SendAsync(new PeerAddress(host, 7_600), TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Unreachable));
        Assert.That(((PeerFault)fault).Reason, Does.Contain(host));
    }

    [Test]
    public async Task Seed_ThatAcceptsAndNeverAnswers_IsAbandonedInTime([Values] bool tls)
    {
        var time = new ManualTime();
        using var authority = new TestAuthority();
        await using var here = TestNode.Create("here", time: time, tls: tls ? authority.Options() : null);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = new PeerAddress("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port);

        var impatient = here.Transport.SendAsync(address, TestNode.Read("key"), TimeSpan.FromSeconds(1), CancellationToken.None).AsTask();
        var patient = here.Transport.SendAsync(address, TestNode.Read("key"), TimeSpan.FromMinutes(1), CancellationToken.None).AsTask();
        using var accepted = await listener.AcceptTcpClientAsync();
        time.Advance(TimeSpan.FromSeconds(1));
        var early = await impatient.WaitAsync(TestNode.Patience);
        var waits = !patient.IsCompleted;
        time.Advance(WireLimits.HandshakeTimeout);
        var late = await patient.WaitAsync(TestNode.Patience);

        Assert.That(early, Is.SameAs(PeerFault.TimedOut));
        Assert.That(waits, Is.True);
        Assert.That(late, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.TimedOut));
        Assert.That(((PeerFault)late).Reason, Does.Contain("handshake"));
        using var patience = new CancellationTokenSource(TestNode.Patience);
        while (await accepted.GetStream().ReadAsync(new byte[4_096], patience.Token) > 0)
        {
            // What it said; after that the connection must end, or it is leaked.
        }
    }

    /// <summary>Where it is in the middle of our bytes, and whether it resets or ends, decides which of the client's calls fails first.</summary>
    [Test]
    public async Task Seed_ThatClosesWithoutAWord_IsUnreachable([Values(0, 1, 24, 30)] int bytesRead, [Values] bool resets)
    {
        await using var here = TestNode.Create("here");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = new PeerAddress("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port);
        var sending = here.Transport.SendAsync(address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None).AsTask();
        using (var accepted = await listener.AcceptSocketAsync())
        {
            for (var read = 0; read < bytesRead;)
            {
                read += await accepted.ReceiveAsync(new byte[bytesRead - read]);
            }

            accepted.LingerState = new LingerOption(resets, 0);
        }

        var fault = await sending.WaitAsync(TestNode.Patience);
        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Unreachable), $"{fault}");
    }

    [Test]
    public async Task Seed_ThatEchoes_IsRefused()
    {
        await using var here = TestNode.Create("here");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = new PeerAddress("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port);
        var sending = here.Transport.SendAsync(address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None).AsTask();
        using var accepted = await listener.AcceptTcpClientAsync();
        var echoing = accepted.GetStream().CopyToAsync(accepted.GetStream());

        var fault = await sending.WaitAsync(TestNode.Patience);

        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Refused));
        await Task.WhenAny(echoing, Task.Delay(TestNode.Patience));
        Assert.That(echoing.IsCompleted, Is.True, "the connection is leaked");
    }

    [TestCase(HttpProtocols.Http2, "HTTP status 404")]
    [TestCase(HttpProtocols.Http1, "does not speak the protocol")]
    public async Task Seed_ThatIsAWebServer_IsRefused(HttpProtocols protocols, string reason)
    {
        await using var here = TestNode.Create("here");
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = protocols));
        await using var web = builder.Build();
        web.Run(context =>
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        });
        await web.StartAsync();
        var address = new PeerAddress("127.0.0.1", new Uri(web.Urls.Single()).Port);

        var fault = await here.Transport.SendAsync(address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(fault, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Refused));
        Assert.That(((PeerFault)fault).Reason, Does.Contain(reason));
        await web.StopAsync();
    }

    [Test]
    public async Task Server_BesideAnApplicationsConfiguration_IgnoresIt()
    {
        string[] names = ["ASPNETCORE_URLS", "URLS", "DOTNET_URLS", "Kestrel__Endpoints__Http__Url", "ASPNETCORE_HTTP_PORTS", "HTTP_PORTS"];
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        var taken = ((IPEndPoint)other.LocalEndpoint).Port;
        var before = names.Select(Environment.GetEnvironmentVariable).ToArray();
        try
        {
            foreach (var name in names)
            {
                Environment.SetEnvironmentVariable(name, name.EndsWith("PORTS", StringComparison.Ordinal) ? $"{taken}" : $"http://127.0.0.1:{taken}");
            }

            await using var here = TestNode.Create("here");
            await using var there = await TestNode.StartAsync("there");

            Assert.That(there.Address.Port, Is.Not.EqualTo(taken).And.Not.Zero);
            Assert.That(await here.SendAsync(there, TestNode.Read("key")), Is.TypeOf<ReadReply>());
        }
        finally
        {
            for (var i = 0; i < names.Length; i++)
            {
                Environment.SetEnvironmentVariable(names[i], before[i]);
            }
        }
    }

    /// <summary>Addresses of this machine at which nobody listens.</summary>
    private sealed class Refusing
    {
        private readonly TestNode _node;
        private readonly int _port;
        private int _dials;

        public Refusing(TestNode node)
        {
            _node = node;
            node.Transport.Broken += _ => _dials++;
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            _port = ((IPEndPoint)listener.LocalEndpoint).Port;
        }

        /// <summary>Asks so many of them, and gives how many were dialled for that.</summary>
        public async Task<int> DialsAsync(int count)
        {
            var before = _dials;
            for (var i = 1; i <= count; i++)
            {
                var reply = await _node.Transport.SendAsync(new PeerAddress($"127.0.0.{i}", _port), TestNode.Read("key"), TestNode.Patience, CancellationToken.None);
                Assert.That(reply, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.NotListening));
            }

            return _dials - before;
        }
    }
}
