using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using DistCache.Peers;

namespace DistCache.Wire;

/// <summary>
/// TLS on both ends of a lane, with HTTP/2 by ALPN. Whom a certificate lets in is decided here, the same way for both; sessions are not resumed,
/// so that each handshake meets the certificates of its day.
/// </summary>
internal static class TlsHandshake
{
    /// <summary>What HTTP/2 may go over.</summary>
    private const SslProtocols Allowed = SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>For the listener: false if it came to nothing, and then <paramref name="guest"/> knows why, as far as that can be told.</summary>
    public static async Task<bool> AcceptAsync(TlsCredentials tls, SslStream stream, Guest guest)
    {
        try
        {
            await stream.AuthenticateAsServerAsync(ForListener(tls, guest), guest.Patience).ConfigureAwait(false);
            return true;
        }
        catch (Exception exception) when (exception is AuthenticationException or IOException or OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>For the dialler: gives the stream to speak HTTP/2 over.</summary>
    /// <exception cref="PeerFaultException">It came to nothing; the fault says why.</exception>
    public static async ValueTask<SslStream> DialAsync(
        TlsCredentials tls, DialledStream connection, PeerAddress address, CancellationToken cancellationToken)
    {
        var material = tls.Current();
        string? flaw = null;
        var stream = new SslStream(connection);
        try
        {
            await stream.AuthenticateAsClientAsync(
                new SslClientAuthenticationOptions
                {
                    TargetHost = tls.PeerName ?? address.Host,
                    ClientCertificateContext = material.Certificate,
                    ApplicationProtocols = [SslApplicationProtocol.Http2],
                    CertificateChainPolicy = CreatePolicy(material),
                    EnabledSslProtocols = Allowed,
                    AllowRenegotiation = false,
                    AllowTlsResume = false,
                    RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
                        (flaw = FindFlaw(tls, certificate, chain, errors, address.Host)) is null,
                },
                cancellationToken).ConfigureAwait(false);
            return stream.NegotiatedApplicationProtocol == SslApplicationProtocol.Http2
                ? stream
                : throw Refused(address, "it speaks TLS, but not HTTP/2 over it.");
        }
        catch (Exception exception) when (exception is AuthenticationException or IOException)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw flaw is not null ? Refused(address, flaw)
                : connection.HasHeard ? Refused(address, $"no TLS can be agreed on ({exception.Message}). Is Cluster.Tls set there?")
                : Refused(address, "it closed the connection where TLS was offered. Is Cluster.Tls set there?");
        }
        catch
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static SslServerAuthenticationOptions ForListener(TlsCredentials tls, Guest guest)
    {
        var material = tls.Current();
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = material.Certificate,
            ApplicationProtocols = [SslApplicationProtocol.Http2],
            EnabledSslProtocols = Allowed,
            AllowRenegotiation = false,
            AllowTlsResume = false,
        };
        if (tls.RequiresClientCertificate)
        {
            options.ClientCertificateRequired = true;
            options.CertificateChainPolicy = CreatePolicy(material);
            options.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
            {
                if (FindFlaw(tls, certificate, chain, errors, dialledHost: null) is not { } flaw)
                {
                    return true;
                }

                guest.Flaw = $"As a client, {flaw}";
                return false;
            };
        }

        return options;
    }

    /// <summary>Null for a certificate that lets in; else what is wrong with it, in a sentence.</summary>
    private static string? FindFlaw(
        TlsCredentials tls, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors, string? dialledHost)
    {
        if (certificate is not X509Certificate2 shown)
        {
            return "it shows no certificate (Cluster.Tls).";
        }

        var name = ForeignText.Clean(shown.Subject);
        if (errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors))
        {
            var flaws = chain?.ChainElements.SelectMany(element => element.ChainElementStatus).Concat(chain.ChainStatus)
                .Select(status => status.Status).Distinct();
            return $"its certificate \"{name}\" is not accepted: {string.Join(", ", flaws ?? [])}. Is it signed by one of Cluster.Tls.AuthorityPath, and of today?";
        }

        var expected = tls.PeerName ?? dialledHost;
        return expected is null || shown.MatchesHostname(expected, allowWildcards: true, allowCommonName: false) ? null
            : tls.PeerName is not null ? $"its certificate \"{name}\" is not for \"{expected}\" (Cluster.Tls.PeerName)."
            : $"its certificate \"{name}\" is not for the address that was dialled, \"{expected}\". Put that into the certificate, or a name that all have into Cluster.Tls.PeerName.";
    }

    private static PeerFaultException Refused(PeerAddress address, string reason) =>
        new(new PeerFault(FaultKind.Refused, $"{address} cannot be spoken to: {reason}"));

    /// <summary>Nothing is downloaded in a handshake, neither intermediates nor lists of revoked certificates.</summary>
    private static X509ChainPolicy CreatePolicy(TlsMaterial material)
    {
        var policy = new X509ChainPolicy { RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        if (material.Authorities.Count > 0)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.AddRange(material.Authorities);
        }

        return policy;
    }
}

/// <summary>Carries a fault out of a dial.</summary>
internal sealed class PeerFaultException(PeerFault fault) : Exception(fault.Reason)
{
    public PeerFault Fault { get; } = fault;
}
