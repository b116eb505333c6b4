using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>
/// A file with an address on each line; what follows a # is a comment. Its time and length are looked at with each tick, since the system's
/// notifications are not to be relied on where the file is mounted; it is read again at each dial.
/// </summary>
internal sealed class FileSeeds(string path, ILogger logger) : ISeedSource
{
    /// <summary>A longer file is some other file.</summary>
    private const long MaximumBytes = 1 << 20;

    private readonly SeedSourceState _state = new(path, logger);
    private volatile FileMark? _read;

    /// <inheritdoc/>
    public bool HasChanged => _read is { } read && read != Look();

    public async ValueTask<SeedList> ResolveAsync(CancellationToken cancellationToken)
    {
        try
        {
            // Before it is read: what is written meanwhile makes another mark.
            _read = Look();
            if (_read.Length > MaximumBytes)
            {
                return Failed([], $"It has more than {MaximumBytes} bytes.");
            }

            return Parse(await File.ReadAllLinesAsync(path, cancellationToken).ConfigureAwait(false));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return Failed([], exception.Message);
        }
    }

    /// <summary>A ConfigMap is changed by pointing a link elsewhere: what counts is the file at its end.</summary>
    private FileMark Look()
    {
        try
        {
            var file = File.ResolveLinkTarget(path, returnFinalTarget: true) as FileInfo ?? new FileInfo(path);
            return file.Exists ? new FileMark(file.LastWriteTimeUtc, file.Length) : FileMark.None;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return FileMark.None;
        }
    }

    private SeedList Parse(string[] lines)
    {
        List<PeerAddress> addresses = [];
        for (var i = 0; i < lines.Length; i++)
        {
            var text = lines[i].Split('#', 2)[0].Trim();
            if (text.Length == 0)
            {
                continue;
            }

            if (!PeerAddress.TryParse(text, out var address) || address.Port == 0)
            {
                return Failed(addresses, $"Line {i + 1} is \"{text}\", where an address, host:port, is expected.");
            }

            addresses.Add(address);
        }

        _state.Works(addresses.Count);
        return new SeedList(addresses, IsComplete: true);
    }

    private SeedList Failed(List<PeerAddress> addresses, string reason)
    {
        _state.Fails(reason);
        return new SeedList(addresses, IsComplete: false);
    }

    private sealed record FileMark(DateTime WrittenAt, long Length)
    {
        public static readonly FileMark None = new(default, 0);
    }
}
