using DistCache.Peers;
using Microsoft.Extensions.Logging;

namespace DistCache.Membership;

/// <summary>
/// A file with an address on each line; what follows a # is a comment. Read again at each dial: notifications of changes are not to be
/// relied on where the file is mounted, as a ConfigMap is.
/// </summary>
internal sealed class FileSeeds(string path, ILogger logger) : ISeedSource
{
    /// <summary>A longer file is some other file.</summary>
    private const long MaximumBytes = 1 << 20;

    private readonly SeedSourceState _state = new(path, logger);

    public async ValueTask<SeedList> ResolveAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (new FileInfo(path).Length > MaximumBytes)
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
}
