using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DistCache.Tests.Wire;

/// <summary>Signs certificates for the nodes of a test.</summary>
internal sealed class TestAuthority : IDisposable
{
    public const string ServerUsage = "1.3.6.1.5.5.7.3.1";
    public const string ClientUsage = "1.3.6.1.5.5.7.3.2";

    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public TestAuthority(string name = "test authority")
    {
        var request = new CertificateRequest($"CN={name}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        Certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-10), DateTimeOffset.UtcNow.AddDays(10));
    }

    public X509Certificate2 Certificate { get; }

    /// <param name="name">A DNS name or an IP address.</param>
    /// <param name="from">Valid from so many days from now.</param>
    /// <param name="to">To so many.</param>
    /// <param name="isNamed">The name is a subject alternative name, besides the common one.</param>
    /// <param name="usages">Extended key usages; none unless given.</param>
    public X509Certificate2 Issue(string name = "127.0.0.1", double from = -1, double to = 5, bool isNamed = true, params string[] usages)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        if (IPAddress.TryParse(name, out var address))
        {
            names.AddIpAddress(address);
        }
        else
        {
            names.AddDnsName(name);
        }

        if (isNamed)
        {
            request.CertificateExtensions.Add(names.Build());
        }

        if (usages.Length > 0)
        {
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([.. usages.Select(usage => new Oid(usage))], false));
        }

        using var signed = request.Create(
            Certificate, DateTimeOffset.UtcNow.AddDays(from), DateTimeOffset.UtcNow.AddDays(to), RandomNumberGenerator.GetBytes(8));
        using var certificate = signed.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pfx), null, X509KeyStorageFlags.Exportable);
    }

    /// <summary>What a node of this authority has.</summary>
    public TlsOptions Options(X509Certificate2? certificate = null)
    {
        var options = new TlsOptions();
        options.UseCertificate(certificate ?? Issue());
        options.TrustAuthority(Certificate);
        return options;
    }

    public void Dispose()
    {
        Certificate.Dispose();
        _key.Dispose();
    }
}
