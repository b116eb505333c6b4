using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using DistCache.Peers;
using DistCache.Tests.Membership;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>Who gets in over TLS, who does not, and what both sides hear of it.</summary>
internal sealed class TlsTests
{
    private readonly TestAuthority _authority = new();
    private readonly TestAuthority _other = new("another authority");
    private readonly List<string> _folders = [];
    private LineLogger _log = null!;

    [SetUp]
    public void NewLog() => _log = new LineLogger();

    [OneTimeTearDown]
    public void CleanUp()
    {
        _authority.Dispose();
        _other.Dispose();
        _folders.ForEach(folder => Directory.Delete(folder, recursive: true));
    }

    [TestCase(true, null)]
    [TestCase(false, null)]
    [TestCase(true, "a secret of more than 16 characters")]
    public async Task Peers_OfOneAuthority_TalkOverTls(bool mutual, string? secret)
    {
        var listens = _authority.Options();
        listens.RequireClientCertificate = mutual;
        await using var there = await TestNode.StartAsync("there", secret: secret, tls: listens);
        await using var here = TestNode.Create("here", secret: secret, tls: _authority.Options());

        Assert.That(await here.SendAsync(there, TestNode.Read("key")), Is.TypeOf<ReadReply>());
        var value = RandomNumberGenerator.GetBytes(3 << 20);
        there.OnRequest = (_, _, _) => ValueTask.FromResult<PeerReply>(TestNode.Hit(value));
        var large = await here.SendAsync(there, TestNode.Read("large"));
        Assert.That(((ReadReply)large).Value.Span.SequenceEqual(value), "a value in chunks");
    }

    [Test]
    public async Task Stranger_WithoutACertificate_GetsInOnlyWhereNoneIsRequired([Values] bool mutual)
    {
        var listens = _authority.Options();
        listens.RequireClientCertificate = mutual;
        await using var there = await TestNode.StartAsync("there", tls: listens, logger: _log);

        var isServed = await IsServedAsync(there.Address, certificate: null);

        Assert.That(isServed, Is.EqualTo(!mutual));
        if (mutual)
        {
            Assert.That(() => Logged("shows no certificate"), Is.True.After(Patience.Milliseconds, 10), Lines());
        }
    }

    [Test]
    public async Task Stranger_WithACertificateOfAnotherAuthority_IsRefusedAndBothSidesSayWhy()
    {
        using var metrics = new CountedMetrics();
        await using var there = await TestNode.StartAsync("there", tls: _authority.Options(), logger: _log);
        var dials = _authority.Options(_other.Issue());
        await using var here = TestNode.Create("here", tls: dials);

        var fault = await here.SendAsync(there, TestNode.Read("key"));

        AssertRefused(fault, "its log says why");
        Assert.That(() => Logged("As a client, its certificate \"CN=127.0.0.1\" is not accepted"), Is.True.After(Patience.Milliseconds, 10), Lines());
        Assert.That(metrics["distcache.wire.connections.refused/tls"], Is.EqualTo(1));
    }

    [Test]
    public async Task Listener_OfAnotherAuthority_IsNotTrusted()
    {
        await using var there = await TestNode.StartAsync("there", tls: _other.Options());
        await using var here = TestNode.Create("here", tls: _authority.Options());

        AssertRefused(await here.SendAsync(there, TestNode.Read("key")), "its certificate \"CN=127.0.0.1\" is not accepted");
    }

    [Test]
    public async Task Certificate_ThatExpiredMeanwhile_IsRefusedOnBothSides([Values] bool isListeners)
    {
        var expired = _authority.Issue(from: -3, to: -1);
        await using var there = await TestNode.StartAsync("there", tls: _authority.Options(isListeners ? expired : null), logger: _log);
        await using var here = TestNode.Create("here", tls: _authority.Options(isListeners ? null : expired));

        var fault = await here.SendAsync(there, TestNode.Read("key"));

        AssertRefused(fault, isListeners ? "NotTimeValid" : "its log says why");
        Assert.That(() => isListeners || Logged("NotTimeValid"), Is.True.After(Patience.Milliseconds, 10), Lines());
    }

    [TestCase(null, "localhost", false, "not for the address that was dialled, \"127.0.0.1\"")]
    [TestCase(null, "127.0.0.1", true, null)]
    [TestCase("cache.internal", "cache.internal", true, null)]
    [TestCase("cache.internal", "127.0.0.1", false, "not for \"cache.internal\" (Cluster.Tls.PeerName)")]
    public async Task Listener_IsExpectedUnderTheNameThatWasDialled_OrThePeerName(string? peerName, string certificateName, bool accepted, string? reason)
    {
        await using var there = await TestNode.StartAsync("there", tls: _authority.Options(_authority.Issue(certificateName)));
        var dials = _authority.Options();
        dials.PeerName = peerName;
        await using var here = TestNode.Create("here", tls: dials);

        var reply = await here.SendAsync(there, TestNode.Read("key"));

        Assert.That(reply is ReadReply, Is.EqualTo(accepted), $"{reply}");
        if (reason is not null)
        {
            AssertRefused(reply, reason);
        }
    }

    [TestCase("cache.internal", true, true)]
    [TestCase("*.internal", true, true)]
    [TestCase("other.internal", true, false)]
    [TestCase("cache.internal", false, false, Description = "a common name is no name")]
    public async Task Dialler_IsExpectedToHaveThePeerName(string certificateName, bool isNamed, bool accepted)
    {
        var listens = _authority.Options(_authority.Issue("cache.internal"));
        listens.PeerName = "cache.internal";
        await using var there = await TestNode.StartAsync("there", tls: listens, logger: _log);
        var dials = _authority.Options(_authority.Issue(certificateName, isNamed: isNamed));
        dials.PeerName = "cache.internal";
        await using var here = TestNode.Create("here", tls: dials);

        var reply = await here.SendAsync(there, TestNode.Read("key"));

        Assert.That(reply is ReadReply, Is.EqualTo(accepted), $"{reply}");
        Assert.That(() => accepted || Logged("is not for \"cache.internal\" (Cluster.Tls.PeerName)"), Is.True.After(Patience.Milliseconds, 10), Lines());
    }

    [TestCase(TestAuthority.ServerUsage)]
    [TestCase(TestAuthority.ClientUsage)]
    public async Task Certificate_ForOneUsageOnly_IsNoCertificateOfANode(string usage)
    {
        await using var there = await TestNode.StartAsync("there", tls: _authority.Options(_authority.Issue(usages: usage)));
        await using var here = TestNode.Create("here", tls: _authority.Options(_authority.Issue(usages: usage)));

        AssertRefused(await here.SendAsync(there, TestNode.Read("key")), "");
    }

    [Test]
    public async Task PlainPeer_ThatDialsATlsPort_HearsAndIsLogged()
    {
        await using var there = await TestNode.StartAsync("there", tls: _authority.Options(), logger: _log);
        await using var here = TestNode.Create("here");

        var fault = await here.SendAsync(there, TestNode.Read("key"), TimeSpan.FromSeconds(4));

        Assert.That(fault, Is.TypeOf<PeerFault>());
        Assert.That(((PeerFault)fault).Reason, Does.Contain("expects TLS (Cluster.Tls)"));
        Assert.That(() => Logged("speaks plain text, where TLS is expected (Cluster.Tls)"), Is.True.After(Patience.Milliseconds, 10), Lines());
    }

    [Test]
    public async Task TlsPeer_ThatDialsAPlainPort_HearsAndIsLogged()
    {
        await using var there = await TestNode.StartAsync("there", logger: _log);
        await using var here = TestNode.Create("here", tls: _authority.Options());

        var fault = await here.SendAsync(there, TestNode.Read("key"), TimeSpan.FromSeconds(4));

        AssertRefused(fault, "Is Cluster.Tls set there?");
        Assert.That(() => Logged("It speaks TLS, which is not set up here (Cluster.Tls)"), Is.True.After(Patience.Milliseconds, 10), Lines());
    }

    [Test]
    public async Task RenewedFile_IsUsedByNewLanes_WhileTheOldOnesStay()
    {
        var time = new ManualTime();
        var (options, first, folder) = Files();
        await using var there = await TestNode.StartAsync("there", tls: options, time: time, logger: _log);
        await using var early = TestNode.Create("early", tls: _authority.Options());
        Assert.That(await early.SendAsync(there, TestNode.Read("key")), Is.TypeOf<ReadReply>());
        Assert.That(await CertificateOfAsync(there.Address), Is.EqualTo(first.Thumbprint));

        using var second = _authority.Issue();
        File.WriteAllText(Path.Combine(folder, "node.crt"), second.ExportCertificatePem());
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(await CertificateOfAsync(there.Address), Is.EqualTo(first.Thumbprint), "half-way, its key is still the former one");
        Assert.That(Logged("cannot be renewed"), Is.True, Lines());

        File.WriteAllText(Path.Combine(folder, "node.key"), second.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(await CertificateOfAsync(there.Address), Is.EqualTo(second.Thumbprint));
        Assert.That(Logged(second.Thumbprint), Is.True, Lines());
        Assert.That(await early.SendAsync(there, TestNode.Read("key")), Is.TypeOf<ReadReply>());
        Assert.That(() => there.Transport.ServedConnections, Is.EqualTo(1).After(Patience.Milliseconds, 20), "the lane of before stands");
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task CertificateInFiles_PemOrPfxWithPassword_IsUsed(bool pfx)
    {
        var (options, certificate, folder) = Files();
        if (pfx)
        {
            options.CertificatePath = Path.Combine(folder, "node.pfx");
            options.KeyPath = null;
            options.Password = "hunter2";
            File.WriteAllBytes(options.CertificatePath, certificate.Export(X509ContentType.Pfx, "hunter2"));
        }

        await using var there = await TestNode.StartAsync("there", tls: options);
        await using var here = TestNode.Create("here", tls: options);

        Assert.That(await here.SendAsync(there, TestNode.Read("key")), Is.TypeOf<ReadReply>());
    }

    [Test]
    public async Task Provider_ThatFailsLater_IsWarnedOfOnceAndTheLastCertificateStays()
    {
        using var certificate = _authority.Issue();
        var isBroken = false;
        var options = _authority.Options();
        options.UseCertificate(() => isBroken ? throw new InvalidOperationException("The vault is closed.") : certificate);
        await using var there = await TestNode.StartAsync("there", tls: options, logger: _log);
        Assert.That(await CertificateOfAsync(there.Address), Is.EqualTo(certificate.Thumbprint));

        isBroken = true;

        Assert.That(await CertificateOfAsync(there.Address), Is.EqualTo(certificate.Thumbprint));
        Assert.That(await CertificateOfAsync(there.Address), Is.EqualTo(certificate.Thumbprint));
        Assert.That(_log.Lines.Count(line => line.Contains("The vault is closed.", StringComparison.Ordinal)), Is.EqualTo(1));
    }

    [Test]
    public async Task Stranger_ThatDoesNotEndTheTlsHandshake_IsClosedInTime()
    {
        var time = new ManualTime();
        await using var there = await TestNode.StartAsync("there", tls: _authority.Options(), time: time, logger: _log);
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(there.Address.Host, there.Address.Port);
        await socket.SendAsync(new byte[] { 0x16, 3, 1 });
        Assert.That(() => time.ActiveTimers, Is.EqualTo(1).After(Patience.Milliseconds, 10), "it was not accepted");

        time.Advance(WireLimits.HandshakeTimeout);

        Assert.That(() => there.Transport.ServedConnections, Is.Zero.After(Patience.Milliseconds, 10));
        Assert.That(() => Logged("No lane within 5 s"), Is.True.After(Patience.Milliseconds, 10), Lines());
    }

    [Test]
    public async Task Stranger_ThatSendsMoreThan64KiBOverTls_IsCutOff()
    {
        var listens = _authority.Options();
        listens.RequireClientCertificate = false;
        await using var there = await TestNode.StartAsync("there", tls: listens, logger: _log);

        async Task SendAsync()
        {
            await using var stream = await DialAsync(there.Address, certificate: null);

            // Frames that mean nothing to HTTP/2, and so are passed over.
            var unknown = new byte[9 + 1_000];
            (unknown[1], unknown[2], unknown[3]) = (1_000 >> 8, 1_000 & 0xFF, 0xEE);
            await stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0"u8.ToArray());
            for (var i = 0; i < 70; i++)
            {
                await stream.WriteAsync(unknown);
            }

            while (await stream.ReadAsync(new byte[1_024]) > 0)
            {
            }
        }

        await SendAsync().WaitAsync(TestNode.Patience).ContinueWith(static _ => { }, TaskScheduler.Default);

        Assert.That(() => Logged("More than 65536 bytes before a handshake was complete"), Is.True.After(Patience.Milliseconds, 10), Lines());
        Assert.That(() => there.Transport.ServedConnections, Is.Zero.After(Patience.Milliseconds, 10));
    }

    [Test]
    public async Task Reply_OverTls_GoesInFullRecords()
    {
        await using var there = await TestNode.StartAsync("there", tls: _authority.Options());
        using var relay = new Relay(there.Address);
        await using var here = TestNode.Create("here", tls: _authority.Options());
        var value = RandomNumberGenerator.GetBytes(60_000);
        there.OnRequest = (_, _, _) => ValueTask.FromResult<PeerReply>(TestNode.Hit(value));

        var reply = await here.Transport.SendAsync(relay.Address, TestNode.Read("key"), TestNode.Patience, CancellationToken.None);

        Assert.That(((ReadReply)reply).Value.Span.SequenceEqual(value));
        Assert.That(relay.Records().Count(length => length > 16_000), Is.EqualTo(3));
    }

    private static void AssertRefused(PeerReply reply, string reason)
    {
        Assert.That(reply, Is.TypeOf<PeerFault>().With.Property("Kind").EqualTo(FaultKind.Refused), $"{reply}");
        Assert.That(((PeerFault)reply).Reason, Does.Contain(reason));
    }

    private static async Task<SslStream> DialAsync(PeerAddress address, X509Certificate2? certificate)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(address.Host, address.Port);
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = address.Host,
            ApplicationProtocols = [SslApplicationProtocol.Http2],
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
            ClientCertificates = certificate is null ? null : [certificate],
        });
        return stream;
    }

    private async Task<string> CertificateOfAsync(PeerAddress address)
    {
        using var certificate = _authority.Issue();
        await using var stream = await DialAsync(address, certificate);
        return ((X509Certificate2)stream.RemoteCertificate!).Thumbprint;
    }

    /// <summary>Whether the node answers the beginning of HTTP/2.</summary>
    private static async Task<bool> IsServedAsync(PeerAddress address, X509Certificate2? certificate)
    {
        try
        {
            await using var stream = await DialAsync(address, certificate);
            await stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0"u8.ToArray());
            return await stream.ReadAsync(new byte[9]).AsTask().WaitAsync(TestNode.Patience) > 0;
        }
        catch (Exception exception) when (exception is IOException or AuthenticationException)
        {
            return false;
        }
    }

    private bool Logged(string text) => _log.Lines.Any(line => line.Contains(text, StringComparison.Ordinal));

    private string Lines() => string.Join('\n', _log.Lines);

    private (TlsOptions Options, X509Certificate2 Certificate, string Folder) Files()
    {
        var folder = Directory.CreateTempSubdirectory("distcache-tls-").FullName;
        _folders.Add(folder);
        var certificate = _authority.Issue();
        var options = new TlsOptions
        {
            CertificatePath = Path.Combine(folder, "node.crt"),
            KeyPath = Path.Combine(folder, "node.key"),
            AuthorityPath = Path.Combine(folder, "authority.crt"),
        };
        File.WriteAllText(options.CertificatePath, certificate.ExportCertificatePem());
        File.WriteAllText(options.KeyPath, certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(options.AuthorityPath, _authority.Certificate.ExportCertificatePem());
        return (options, certificate, folder);
    }
}
