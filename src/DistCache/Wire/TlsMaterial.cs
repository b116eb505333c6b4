using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace DistCache.Wire;

/// <summary>What a handshake needs: this node's certificate with its chain, and whom it trusts.</summary>
/// <param name="Certificate">With the private key and the intermediates.</param>
/// <param name="Authorities">Empty: those of the system.</param>
internal sealed record TlsMaterial(SslStreamCertificateContext Certificate, X509Certificate2Collection Authorities)
{
    private const string PemMark = "-----BEGIN ";

    /// <summary>What is wrong with the certificates of the options; null for nothing.</summary>
    public static string? FindProblem(TlsOptions options)
    {
        try
        {
            var certificate = Load(options, TlsFiles.Read(options), options.Provider?.Invoke()).Certificate.TargetCertificate;
            return DateTime.Now is var now && now >= certificate.NotBefore && now <= certificate.NotAfter
                ? null
                : $"Cluster.Tls: the certificate \"{certificate.Subject}\" is valid from {certificate.NotBefore:u} to {certificate.NotAfter:u} only; no peer would take it. Renew it.";
        }
        catch (TlsMaterialException exception)
        {
            return exception.Message;
        }
        catch (Exception exception) when (options.Provider is not null)
        {
            return $"Cluster.Tls.UseCertificate: the provider failed with {exception.GetType().Name} ({exception.Message}). It must give a certificate with its private key.";
        }
    }

    /// <exception cref="TlsMaterialException">Something is wrong with them; the message names the property, the value and the remedy.</exception>
    /// <param name="options">Say which.</param>
    /// <param name="files">What was read.</param>
    /// <param name="given">What a provider gave, if there is one.</param>
    public static TlsMaterial Load(TlsOptions options, TlsFiles files, X509Certificate2? given) =>
        new(LoadCertificate(options, files, given), LoadAuthorities(options, files));

    private static SslStreamCertificateContext LoadCertificate(TlsOptions options, TlsFiles files, X509Certificate2? given)
    {
        if (options.Provider is not null)
        {
            return given is null
                ? throw new TlsMaterialException("UseCertificate", null, "the provider gave null. Give a certificate with its private key.")
                : Check("UseCertificate", given.Subject, given, []);
        }

        const string Property = nameof(TlsOptions.CertificatePath);
        try
        {
            var chain = IsPem(files.Certificate) ? LoadPem(options, files) : X509CertificateLoader.LoadPkcs12Collection(files.Certificate!, options.Password);
            var leaf = chain.FirstOrDefault(certificate => certificate.HasPrivateKey)
                ?? throw new TlsMaterialException(Property, options.CertificatePath, "it holds no private key. Put it in the same file, or set Cluster.Tls.KeyPath.");
            chain.Remove(leaf);
            return Check(Property, options.CertificatePath, leaf, chain);
        }
        catch (Exception exception) when (exception is CryptographicException or ArgumentException)
        {
            // An ArgumentException for a key of another certificate.
            throw new TlsMaterialException(
                Property, options.CertificatePath, $"the certificate or its key cannot be read ({exception.Message}). Give PEM or PKCS #12, its own key, and its Cluster.Tls.Password if it has one.");
        }
    }

    private static X509Certificate2Collection LoadPem(TlsOptions options, TlsFiles files)
    {
        var certificates = Encoding.UTF8.GetString(files.Certificate!);
        var key = files.Key is null ? certificates : Encoding.UTF8.GetString(files.Key);
        if (!key.Contains("PRIVATE KEY-----", StringComparison.Ordinal))
        {
            throw files.Key is null
                ? new TlsMaterialException(nameof(options.CertificatePath), options.CertificatePath, "it holds no private key. Put it in the same file, or set Cluster.Tls.KeyPath.")
                : new TlsMaterialException(nameof(options.KeyPath), options.KeyPath, "it holds no private key in PEM. Give the one of the certificate.");
        }

        using var leaf = options.Password is null
            ? X509Certificate2.CreateFromPem(certificates, key)
            : X509Certificate2.CreateFromEncryptedPem(certificates, key, options.Password);
        X509Certificate2Collection chain = [];
        chain.ImportFromPem(certificates);

        // As PKCS #12 and back: the TLS of Windows cannot use a key that lives in memory only.
        chain[0].Dispose();
        chain[0] = X509CertificateLoader.LoadPkcs12(leaf.Export(X509ContentType.Pfx), null);
        return chain;
    }

    private static SslStreamCertificateContext Check(string property, string? value, X509Certificate2 certificate, X509Certificate2Collection intermediates)
    {
        if (!certificate.HasPrivateKey)
        {
            throw new TlsMaterialException(property, value, "it has no private key. Give the certificate together with its key.");
        }

        // Offline: nobody waits for a download in a handshake.
        return SslStreamCertificateContext.Create(certificate, intermediates, offline: true);
    }

    private static X509Certificate2Collection LoadAuthorities(TlsOptions options, TlsFiles files)
    {
        X509Certificate2Collection authorities = [.. options.GivenAuthorities()];
        if (files.Authorities is null)
        {
            return authorities;
        }

        try
        {
            X509Certificate2Collection read = [];
            read.ImportFromPem(Encoding.UTF8.GetString(files.Authorities));
            authorities.AddRange(read);
            return read.Count > 0 ? authorities : throw new CryptographicException("There is no certificate in it.");
        }
        catch (CryptographicException exception)
        {
            throw new TlsMaterialException(
                nameof(options.AuthorityPath), options.AuthorityPath, $"no authority can be read from it ({exception.Message}). Give a PEM file of certificates.");
        }
    }

    private static bool IsPem(byte[]? content) => content.AsSpan().IndexOf(Encoding.ASCII.GetBytes(PemMark)) >= 0;
}
