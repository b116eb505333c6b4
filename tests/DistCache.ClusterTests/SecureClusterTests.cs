using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DistCache.ClusterTests;

/// <summary>Processes that speak mutual TLS and know a secret, all by configuration.</summary>
internal sealed class SecureClusterTests : ClusterTest
{
    private string _folder = null!;

    [SetUp]
    public void WriteCertificates()
    {
        _folder = Directory.CreateTempSubdirectory("distcache-tls-").FullName;
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authority = new CertificateRequest("CN=cluster tests", authorityKey, HashAlgorithmName.SHA256);
        authority.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using var signer = authority.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=node", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        names.AddDnsName("cache.internal");
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.Create(signer, signer.NotBefore, signer.NotAfter, [1]);
        File.WriteAllText(Path.Combine(_folder, "authority.crt"), signer.ExportCertificatePem());
        File.WriteAllText(Path.Combine(_folder, "node.pem"), certificate.ExportCertificatePem() + "\n" + key.ExportPkcs8PrivateKeyPem());
    }

    [TearDown]
    public void DeleteCertificates() => Directory.Delete(_folder, recursive: true);

    [TestCase(null)]
    [TestCase("cache.internal")]
    public async Task ThreeNodes_WithTlsAndASecret_FormAClusterAndServe(string? peerName)
    {
        var cluster = NewCluster(3, NodeHost.ConsoleRole,
        [
            $"--DistCache:Cluster:Tls:CertificatePath={Path.Combine(_folder, "node.pem")}",
            $"--DistCache:Cluster:Tls:AuthorityPath={Path.Combine(_folder, "authority.crt")}",
            .. peerName is null ? Array.Empty<string>() : [$"--DistCache:Cluster:Tls:PeerName={peerName}"],
            "--DistCache:Cluster:SharedSecret=a secret of more than 16 characters",
        ]);
        await cluster.StartAllAsync();

        await AssertHoldsAsync(cluster, await FillAsync(cluster, 300, "secure"));
        await cluster[2].KillAsync();
        await cluster.StartAsync(2);
        await cluster.WaitUntilAgreedAsync();
        await AssertHoldsAsync(cluster, await FillAsync(cluster, 100, "after"));
    }
}
