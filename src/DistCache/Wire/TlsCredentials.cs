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

    private readonly Lock _lock = new();
    private TlsFiles? _files;
    private TlsMaterial? _material;
    private X509Certificate2? _given;
    private string? _problem;
    private long _lookedAt;

    /// <summary>Peers that dial must show a certificate.</summary>
    public bool RequiresClientCertificate => options.RequireClientCertificate;

    /// <summary>What every peer's certificate must be for; null for whatever was dialled.</summary>
    public string? PeerName => options.PeerName;

    /// <exception cref="TlsMaterialException">There never was a good one.</exception>
    public TlsMaterial Current()
    {
        lock (_lock)
        {
            var isFirst = _material is null;
            if (!isFirst && options.Provider is null && time.GetElapsedTime(_lookedAt) < LookEvery)
            {
                return _material!;
            }

            _lookedAt = time.GetTimestamp();
            try
            {
                LookLocked(isFirst);
                _problem = null;
            }
            catch (Exception exception) when (!isFirst)
            {
                // Of a provider, whatever it throws. Once for each problem, not at each handshake.
                if (_problem != exception.Message)
                {
                    _problem = exception.Message;
                    Log.CertificateNotRenewed(logger, exception.Message);
                }
            }

            return _material!;
        }
    }

    private void LookLocked(bool isFirst)
    {
        var files = TlsFiles.Read(options);
        var given = options.Provider?.Invoke();
        if (!isFirst && files.Equals(_files) && ReferenceEquals(given, _given))
        {
            return;
        }

        var material = TlsMaterial.Load(options, files, given);
        (_files, _given, _material) = (files, given, material);
        if (!isFirst)
        {
            Log.CertificateRenewed(logger, material.Certificate.TargetCertificate.Thumbprint, material.Certificate.TargetCertificate.NotAfter);
        }
    }
}
