namespace DistCache.Wire;

/// <summary>The files of <see cref="TlsOptions"/> as they were read: compared to see whether one was renewed.</summary>
/// <param name="Certificate">Null where the certificate comes from a provider.</param>
/// <param name="Key">Null where the key is in the certificate's file.</param>
/// <param name="Authorities">Null where there is no such file.</param>
internal sealed record TlsFiles(byte[]? Certificate, byte[]? Key, byte[]? Authorities)
{
    /// <exception cref="TlsMaterialException">A file cannot be read.</exception>
    public static TlsFiles Read(TlsOptions options) => new(
        options.Provider is null ? Read(nameof(TlsOptions.CertificatePath), options.CertificatePath) : null,
        Read(nameof(TlsOptions.KeyPath), options.KeyPath),
        Read(nameof(TlsOptions.AuthorityPath), options.AuthorityPath));

    public bool Equals(TlsFiles? other) =>
        other is not null && IsSame(Certificate, other.Certificate) && IsSame(Key, other.Key) && IsSame(Authorities, other.Authorities);

    public override int GetHashCode() => HashCode.Combine(Certificate?.Length, Key?.Length, Authorities?.Length);

    private static byte[]? Read(string property, string? path)
    {
        try
        {
            return path is null ? null : File.ReadAllBytes(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new TlsMaterialException(property, path, $"it cannot be read ({exception.Message}). Give the path of a file that this process may read.");
        }
    }

    private static bool IsSame(byte[]? left, byte[]? right) => left.AsSpan().SequenceEqual(right) && left is null == right is null;
}

/// <summary>The certificates of the options cannot be used.</summary>
internal sealed class TlsMaterialException(string property, string? value, string problem)
    : Exception(value is null ? $"Cluster.Tls.{property}: {problem}" : $"Cluster.Tls.{property} is \"{value}\": {problem}");
