using System.Security.Cryptography.X509Certificates;
using DistCache.Diagnostics;
using Microsoft.Extensions.Logging;

namespace DistCache.Wire;

/// <summary>
/// The certificates of this node as they are now. Renewed files are taken up at the next handshake, at most one look a second; where they cannot
/// be read, as in the middle of being written, the last good ones stay and the log says why.
/// </summary>
internal sealed class TlsCredentials(TlsOptions options, TimeProvider time, ILogger logger)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);

    private Seen? _seen;
    private string? _problem;
    private long _lookedAt;

    /// <summary>Peers that dial must show a certificate.</summary>
    public bool RequiresClientCertificate => options.RequireClientCertificate;

    /// <summary>What every peer's certificate must be for; null for whatever was dialled.</summary>
    public string? PeerName => options.PeerName;

    /// <exception cref="TlsMaterialException">There never was a good one.</exception>
    public TlsMaterial Current()
    {
        var seen = Volatile.Read(ref _seen);
        var isLook = seen is null || IsTimeToLook();
        if (seen is not null && !isLook && options.Provider is null)
        {
            return seen.Material;
        }

        try
        {
            var now = Look(seen, isLook);
            Volatile.Write(ref _problem, null);
            return now.Material;
        }
        catch (Exception exception) when (seen is not null)
        {
            // Of a provider, whatever it throws. Once for each problem, not at each handshake.
            if (Interlocked.Exchange(ref _problem, exception.Message) != exception.Message)
            {
                Log.CertificateNotRenewed(logger, exception.Message);
            }

            return seen.Material;
        }
    }

    private bool IsTimeToLook()
    {
        var lookedAt = Volatile.Read(ref _lookedAt);
        return time.GetElapsedTime(lookedAt) >= LookEvery && Interlocked.CompareExchange(ref _lookedAt, time.GetTimestamp(), lookedAt) == lookedAt;
    }

    /// <summary>Handshakes may look at once; what one has found new is told once.</summary>
    private Seen Look(Seen? seen, bool readsFiles)
    {
        var files = readsFiles || seen is null ? TlsFiles.Read(options) : seen.Files;
        var given = options.Provider?.Invoke();
        if (seen is not null && files.Equals(seen.Files) && ReferenceEquals(given, seen.Given))
        {
            return seen;
        }

        var now = new Seen(files, given, TlsMaterial.Load(options, files, given));
        if (Interlocked.CompareExchange(ref _seen, now, seen) == seen && seen is not null)
        {
            var certificate = now.Material.Certificate.TargetCertificate;
            Log.CertificateRenewed(logger, certificate.Thumbprint, certificate.NotAfter);
        }

        return now;
    }

    private sealed record Seen(TlsFiles Files, X509Certificate2? Given, TlsMaterial Material);
}
