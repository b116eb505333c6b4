using System.Security.Cryptography.X509Certificates;
using DistCache.Hosting;
using DistCache.Peers;
using DistCache.Tests.Wire;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace DistCache.Tests.Hosting;

/// <summary>What is wrong with certificates is told at the start: the property, its value and what to do.</summary>
public sealed class TlsOptionsTests
{
    private static readonly DistCacheOptionsValidator Validator = new();

    private readonly TestAuthority _authority = new();
    private string _folder = null!;

    [OneTimeSetUp]
    public void WriteFiles()
    {
        _folder = Directory.CreateTempSubdirectory("distcache-tls-").FullName;
        using var certificate = _authority.Issue();
        using var other = _authority.Issue();
        using var old = _authority.Issue(from: -3, to: -1);
        Write("node.crt", certificate.ExportCertificatePem());
        Write("node.key", KeyOf(certificate));
        Write("both.pem", certificate.ExportCertificatePem() + "\n" + KeyOf(certificate));
        Write("other.key", KeyOf(other));
        Write("old.pem", old.ExportCertificatePem() + "\n" + KeyOf(old));
        Write("authority.crt", _authority.Certificate.ExportCertificatePem());
        Write("nonsense", "nonsense");
        File.WriteAllBytes(PathOf("node.pfx"), certificate.Export(X509ContentType.Pfx, "hunter2"));
        File.WriteAllBytes(PathOf("no-key.pfx"), certificate.Export(X509ContentType.Cert));
    }

    [OneTimeTearDown]
    public void DeleteFiles()
    {
        Directory.Delete(_folder, recursive: true);
        _authority.Dispose();
    }

    [TestCase("both.pem", null, null)]
    [TestCase("node.crt", "node.key", null)]
    [TestCase("node.pfx", null, "hunter2")]
    public void Validate_CertificateInFiles_Succeeds(string certificate, string? key, string? password) =>
        Assert.That(Validate(Options(certificate, key, password)), Is.Empty);

    [TestCase("missing.pem", null, null, "Cluster.Tls.CertificatePath is", "missing.pem", "cannot be read")]
    [TestCase("node.crt", null, null, "Cluster.Tls.CertificatePath is", "node.crt", "no private key", "Cluster.Tls.KeyPath")]
    [TestCase("node.crt", "missing.key", null, "Cluster.Tls.KeyPath is", "missing.key", "cannot be read")]
    [TestCase("node.crt", "nonsense", null, "Cluster.Tls.KeyPath is", "nonsense", "no private key")]
    [TestCase("node.crt", "other.key", null, "Cluster.Tls.CertificatePath is", "node.crt", "its own key")]
    [TestCase("node.pfx", null, "wrong", "Cluster.Tls.CertificatePath is", "node.pfx", "Cluster.Tls.Password")]
    [TestCase("node.pfx", null, null, "Cluster.Tls.CertificatePath is", "node.pfx", "Cluster.Tls.Password")]
    [TestCase("no-key.pfx", null, null, "Cluster.Tls.CertificatePath is", "no-key.pfx")]
    [TestCase("nonsense", null, null, "Cluster.Tls.CertificatePath is", "nonsense")]
    [TestCase("old.pem", null, null, "Cluster.Tls", "is valid from", "Renew it")]
    public void Validate_CertificateThatCannotBeUsed_NamesPropertyValueAndRemedy(
        string certificate, string? key, string? password, params string[] expected)
    {
        var failure = Validate(Options(certificate, key, password));

        Assert.Multiple(() => Array.ForEach(expected, part => Assert.That(failure, Does.Contain(part))));
        Assert.That(password is null || !failure.Contains(password, StringComparison.Ordinal), "the password is told");
    }

    [Test]
    public void Validate_AuthorityThatIsNone_NamesTheFile()
    {
        var options = Options("both.pem");
        options.Cluster.Tls.AuthorityPath = PathOf("nonsense");

        Assert.That(Validate(options), Does.Contain("Cluster.Tls.AuthorityPath is").And.Contain("nonsense").And.Contain("PEM"));
    }

    [Test]
    public void Validate_WithoutACertificate_SaysThatTlsIsOff()
    {
        var options = new DistCacheOptions();
        options.Cluster.Tls.AuthorityPath = PathOf("authority.crt");

        Assert.That(Validate(options), Does.Contain("no certificate").And.Contain("Cluster.Tls.CertificatePath"));
    }

    [Test]
    public void Validate_MutualTlsThatTrustsTheWholeWorld_IsRefused()
    {
        var options = Options("both.pem");
        options.Cluster.Tls.AuthorityPath = null;
        Assert.That(Validate(options), Does.Contain("Cluster.Tls.AuthorityPath").And.Contain("Cluster.Tls.PeerName"));

        options.Cluster.Tls.PeerName = "cache.internal";
        Assert.That(Validate(options), Is.Empty);
    }

    [Test]
    public void Validate_TwoSourcesOfACertificate_IsRefused()
    {
        var options = Options("both.pem");
        using var certificate = _authority.Issue();
        options.Cluster.Tls.UseCertificate(certificate);

        Assert.That(Validate(options), Does.Contain("both.pem").And.Contain("UseCertificate"));
    }

    [TestCase("10.0.0.5")]
    [TestCase("two words")]
    public void Validate_PeerNameThatIsNoDnsName_IsRefused(string name)
    {
        var options = Options("both.pem");
        options.Cluster.Tls.PeerName = name;

        Assert.That(Validate(options), Does.Contain("Cluster.Tls.PeerName").And.Contain(name));
    }

    [Test]
    public void Validate_ProviderThatThrows_IsTold()
    {
        var options = new DistCacheOptions();
        options.Cluster.Tls.PeerName = "cache.internal";
        options.Cluster.Tls.UseCertificate(() => throw new InvalidOperationException("The vault is closed."));

        Assert.That(Validate(options), Does.Contain("UseCertificate").And.Contain("The vault is closed."));
    }

    [Test]
    public void Configuration_WithPaths_IsBound()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Cluster:Tls:CertificatePath"] = PathOf("node.pfx"),
            ["Cluster:Tls:Password"] = "hunter2",
            ["Cluster:Tls:AuthorityPath"] = PathOf("authority.crt"),
            ["Cluster:Tls:PeerName"] = "cache.internal",
            ["Cluster:Tls:RequireClientCertificate"] = "false",
        }).Build();
        using var provider = new ServiceCollection().AddDistCache(configuration).Services.BuildServiceProvider();

        var tls = provider.GetRequiredService<IOptions<DistCacheOptions>>().Value.Cluster.Tls;

        Assert.That(
            (tls.CertificatePath, tls.Password, tls.AuthorityPath, tls.PeerName, tls.RequireClientCertificate),
            Is.EqualTo((PathOf("node.pfx"), "hunter2", PathOf("authority.crt"), "cache.internal", false)));
    }

    [TestCase("127.0.0.1", false, false, false, false)]
    [TestCase("0.0.0.0", false, false, false, true)]
    [TestCase("0.0.0.0", true, false, false, false)]
    [TestCase("0.0.0.0", false, true, false, true)]
    [TestCase("0.0.0.0", false, true, true, false)]
    [TestCase("0.0.0.0", false, false, true, true)]
    public void Port_BeyondLoopback_IsOpenWithNeitherSecretNorMutualTls(string host, bool hasSecret, bool hasTls, bool isMutual, bool isOpen)
    {
        var options = hasTls ? Options("both.pem") : new DistCacheOptions();
        options.Cluster.SharedSecret = hasSecret ? "a secret of more than 16 characters" : null;
        options.Cluster.Tls.RequireClientCertificate = isMutual;

        Assert.That(Node.IsOpen(options.Cluster, new PeerAddress(host, 7_600)), Is.EqualTo(isOpen));
    }

    private static string KeyOf(X509Certificate2 certificate) => certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem();

    private static string Validate(DistCacheOptions options) => string.Join('\n', Validator.Validate(null, options).Failures ?? []);

    private DistCacheOptions Options(string certificate, string? key = null, string? password = null)
    {
        var options = new DistCacheOptions();
        options.Cluster.Tls.CertificatePath = PathOf(certificate);
        options.Cluster.Tls.KeyPath = key is null ? null : PathOf(key);
        options.Cluster.Tls.Password = password;
        options.Cluster.Tls.AuthorityPath = PathOf("authority.crt");
        return options;
    }

    private string PathOf(string name) => Path.Combine(_folder, name);

    private void Write(string name, string content) => File.WriteAllText(PathOf(name), content);
}
