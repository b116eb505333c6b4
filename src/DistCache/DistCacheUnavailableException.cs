using System.Globalization;

namespace DistCache;

/// <summary>
/// A write did not reach as many copies as <see cref="ReplicationOptions.WriteAck"/> asks for within
/// <see cref="ReplicationOptions.Timeout"/>, or a read reached no owner of its key and <see cref="OnReadFailure.Throw"/> is set. The
/// effect of such a write is unknown: copies that were made stay.
/// </summary>
public sealed class DistCacheUnavailableException : Exception
{
    /// <summary>Creates the exception.</summary>
    public DistCacheUnavailableException()
    {
    }

    /// <summary>Creates the exception with a message.</summary>
    public DistCacheUnavailableException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public DistCacheUnavailableException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    internal DistCacheUnavailableException(string operation, int neededCopies, int copies)
        : base(string.Create(CultureInfo.InvariantCulture, $"The {operation} was not acknowledged: {neededCopies} copies are needed, {copies} exist."))
    {
        NeededCopies = neededCopies;
        Copies = copies;
    }

    /// <summary>The copies that would have been enough.</summary>
    public int NeededCopies { get; }

    /// <summary>The copies that are known to exist.</summary>
    public int Copies { get; }
}
