using System.Security.Cryptography.X509Certificates;

namespace DistCache;

/// <summary>
/// Encrypts what nodes say to each other, and lets in only those whose certificate is signed by an authority that is trusted. On as soon as a
/// certificate is set, and then on every node of the cluster: there is no plain text beside it. Files are read again within a second of a
/// handshake after they changed: new connections use the renewed certificate, those that stand stay.
/// </summary>
public sealed class TlsOptions
{
    /// <summary>No property: the binder of configurations would look for them.</summary>
    private readonly X509Certificate2Collection _authorities = [];

    /// <summary>
    /// The file of this node's certificate: PEM, with its intermediates behind it, or PKCS #12 (<c>.pfx</c>). It is used for dialling and for
    /// being dialled: an extended key usage, where it has one, must allow both server and client authentication.
    /// </summary>
    public string? CertificatePath { get; set; }

    /// <summary>The PEM file of the certificate's private key; not needed where the key is in <see cref="CertificatePath"/> itself.</summary>
    public string? KeyPath { get; set; }

    /// <summary>The password of the PKCS #12 file or of the encrypted PEM key; none unless set.</summary>
    public string? Password { get; set; }

    /// <summary>
    /// A PEM file of the authorities that sign the certificates of nodes: a peer's must lead to one of them. Best one that signs for this cluster
    /// only. Not set, and none given to <see cref="TrustAuthority"/>: the authorities that the system trusts.
    /// </summary>
    public string? AuthorityPath { get; set; }

    /// <summary>
    /// A DNS name that the certificates of all nodes carry, such as <c>cache.internal</c>. It is expected of every peer, whether it was dialled
    /// or dials, and whatever its address is. Not set: a node that is dialled must have a certificate for the address or name that was dialled,
    /// and one that dials any that is trusted.
    /// </summary>
    public string? PeerName { get; set; }

    /// <summary>
    /// Nodes that dial must show a certificate too (mutual TLS). True unless set: without it whoever reaches the port is let in, unless there is a
    /// <see cref="ClusterOptions.SharedSecret"/>.
    /// </summary>
    public bool RequireClientCertificate { get; set; } = true;

    internal Func<X509Certificate2>? Provider { get; private set; }

    /// <summary>There is a certificate, so peers are spoken to over TLS.</summary>
    internal bool IsOn => Provider is not null || CertificatePath is not null;

    /// <summary>Something was set that has no meaning without a certificate.</summary>
    internal bool IsHalfSet =>
        !IsOn && (KeyPath is not null || Password is not null || AuthorityPath is not null || PeerName is not null || _authorities.Count > 0);

    /// <summary>Uses a certificate with its private key, instead of <see cref="CertificatePath"/>.</summary>
    public void UseCertificate(X509Certificate2 certificate)
    {
        ArgumentNullException.ThrowIfNull(certificate);
        Provider = () => certificate;
    }

    /// <summary>
    /// Asks for the certificate at each handshake, instead of <see cref="CertificatePath"/>. It is called on many threads and must be quick; a
    /// renewed certificate is another object. If it fails, the last certificate is used on and a warning is logged.
    /// </summary>
    public void UseCertificate(Func<X509Certificate2> provider)
    {
        ArgumentNullException.ThrowIfNull(provider);
        Provider = provider;
    }

    /// <summary>Trusts the peers whose certificates lead to this one, besides those of <see cref="AuthorityPath"/>.</summary>
    public void TrustAuthority(X509Certificate2 authority)
    {
        ArgumentNullException.ThrowIfNull(authority);
        _authorities.Add(authority);
    }

    /// <summary>Those given to <see cref="TrustAuthority"/>.</summary>
    internal X509Certificate2Collection GivenAuthorities() => _authorities;
}
